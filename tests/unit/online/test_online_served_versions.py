"""Which version of a view a request is answered with, where several are kept side by side."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import eq
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest

from headrace_features import Count, FeatureReader, FeatureView, Sliding, Sum
from headrace_features.definitions.durations import DAY_MS
from headrace_features.online.layers import Had
from headrace_features.online.served import ServedView, ViewQuery, entity_key, view_key
from headrace_features.online.served_versions import ServedVersions
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import Row
from headrace_features.online.versions import Versions, change_versions, read_versions
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.portable_project import portable_project, project_from
from headrace_features.project import Project
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from headrace_schemas.errors import RetryableError
from histories import as_table, reading, view_with

BOUNDARY_MS = 19_000 * DAY_MS
FIRST = view_with(Count(windows=[Sliding("2d")]), Sum("amount", windows=[Sliding("2d")]))
SECOND = replace(
    view_with(
        Count(windows=[Sliding("2d"), Sliding("1d")]), Sum("amount", windows=[Sliding("2d")])
    ),
    version=2,
    namespace="new",
)
COUNT, SUM = (f"{FIRST.name}__{name}" for name in FIRST.feature_names)
COMMON = FIRST.feature_names


def project_of(view: FeatureView) -> Project:
    return Project(
        name="tests",
        entities={view.entity.name: view.entity},
        sources={view.source.name: view.source},
        views={view.name: view},
        services={},
        decisions={},
        namespace=view.namespace,
    )


def document(view: FeatureView) -> dict[str, Any]:
    return portable_project(project_of(view))


@pytest.fixture
def store(tmp_path: Path) -> SqliteStateStore:
    """A store with the same entity in two versions: one event in the first, three in the second."""
    store = SqliteStateStore(tmp_path / "online.db")
    fill(store, FIRST, events=1)
    fill(store, SECOND, events=3)
    return store


def fill(store: SqliteStateStore, view: FeatureView, *, events: int) -> None:
    plan = plan_of(view)
    rows = [reading(f"e{n}", BOUNDARY_MS - 1 - n, amount=10) for n in range(events)]
    block = in_order(block_of(view, plan, as_table(view, rows)))
    generation = store.begin(view_key(view), BOUNDARY_MS)
    fields = build(plan, layout_of(view, BOUNDARY_MS), block)
    store.write(generation, [Row(entity_key("a"), *field) for field in fields.items()])
    store.publish(generation, Had.until(generation, BOUNDARY_MS + 1))


def side_by_side(held: Versions) -> Versions:
    return held.keeps("", document(FIRST)).keeps("new", document(SECOND))


def reader(
    store: SqliteStateStore, view: FeatureView = FIRST, names: tuple[str, ...] = COMMON
) -> FeatureReader:
    return FeatureReader(store, [view.select(*names)], clock_ms=lambda: BOUNDARY_MS)


def values(found: FeatureReader) -> Mapping[str, Any]:
    return found.read([{"sensor": "a"}])[0].to_dict()


def test_the_key_of_a_view_tells_its_namespace() -> None:
    assert view_key(replace(SECOND, namespace="")) + "@new" == view_key(SECOND)


def test_a_document_has_all_that_a_project_means() -> None:
    again = project_from(document(SECOND))
    assert again.full_name == "tests.new"
    assert view_key(again.views[SECOND.name]) == view_key(SECOND)
    assert document(again.views[SECOND.name]) == document(SECOND)


def test_readers_at_work_follow_a_promotion_and_its_being_taken_back(
    store: SqliteStateStore,
) -> None:
    found = reader(store)
    assert values(found) == {COUNT: 1, SUM: 10}
    change_versions(store, side_by_side)
    assert values(found) == {COUNT: 1, SUM: 10}
    change_versions(store, lambda held: held.serves("new"))
    assert values(found) == {COUNT: 3, SUM: 30}
    change_versions(store, lambda held: held.serves(""))
    assert values(found) == {COUNT: 1, SUM: 10}


def test_a_reader_that_knows_a_later_version_gets_the_one_that_is_served(
    store: SqliteStateStore,
) -> None:
    change_versions(store, side_by_side)
    declared = replace(SECOND, namespace="")
    assert values(reader(store, declared)) == {COUNT: 1, SUM: 10}


@pytest.mark.parametrize("back", [False, True])
def test_who_asks_for_what_only_the_former_version_has_gets_all_of_that_one(
    store: SqliteStateStore, *, back: bool
) -> None:
    change_versions(store, side_by_side)
    change_versions(store, lambda held: held.serves("new"))
    versions = change_versions(store, lambda held: held.serves("", back=back))
    assert (versions.former, versions.taken_back) == (((), ("new",)) if back else (("new",), ()))
    everything = reader(store, replace(SECOND, namespace=""), SECOND.feature_names)
    found = values(everything)
    assert (found[COUNT], found[SUM], len(found)) == (3, 30, 3)


@pytest.mark.parametrize("total", ["price", None])
def test_a_version_without_a_feature_or_with_one_of_another_type_is_not_asked_for_it(
    total: str | None,
) -> None:
    def of(column: str | None, **options: Any) -> FeatureView:
        sums = [] if column is None else [Sum("total", windows=[Sliding("2d")])]
        derived = {"total": column or "amount"}
        view = view_with(Count(windows=[Sliding("2d")]), *sums, derived=derived)
        return replace(view, **options)

    held, other = of("amount"), of(total, version=3, namespace="third")
    kept = Versions().keeps("", document(held)).keeps("third", document(other)).serves("third")
    served = ServedVersions(1, kept)

    def version_for(*names: str) -> int:
        (query,) = served.of([ViewQuery(ServedView(held, names), [])])
        return query.view.view.version

    count, total_sum = held.feature_names
    assert version_for(count) == 3
    assert version_for(total_sum) == version_for(count, total_sum) == 1


def test_what_no_version_was_made_of_beside_another_stays_as_it_is_declared(
    store: SqliteStateStore,
) -> None:
    other = replace(FIRST, name="others")
    fill(store, other, events=2)
    change_versions(store, side_by_side)
    change_versions(store, lambda held: held.serves("new"))
    selections = [FIRST.select(*COMMON), other.select(*COMMON)]
    found = FeatureReader(store, selections, clock_ms=lambda: BOUNDARY_MS)
    row = values(found)
    assert (row[COUNT], row[f"others__{FIRST.feature_names[0]}"]) == (3, 2)


def test_a_view_that_is_not_served_any_more_is_read_where_it_is_kept() -> None:
    added = replace(SECOND, name="added")
    views = {SECOND.name: SECOND, added.name: added}
    both = portable_project(replace(project_of(SECOND), views=views))
    versions = Versions().keeps("", document(FIRST)).keeps("new", both).serves("new").serves("")
    served = ServedVersions(1, versions)
    asked = replace(added, namespace="")
    (found,) = served.of([ViewQuery(ServedView(asked, asked.feature_names), [])])
    assert found.view.key == view_key(added)


def test_no_read_beside_promotions_fails_or_mixes_versions(store: SqliteStateStore) -> None:
    change_versions(store, side_by_side)
    done = Event()
    counts = [0, 0]

    def read(place: int) -> set[tuple[Any, ...]]:
        found, seen = reader(store), set()
        while not done.is_set():
            seen.add(tuple(values(found).values()))
            counts[place] += 1
        return seen

    with ThreadPoolExecutor(2) as threads:
        reads = [threads.submit(read, place) for place in range(2)]
        for turn in range(60):
            namespace, before = "new" if turn % 2 else "", list(counts)
            change_versions(store, lambda held, to=namespace: held.serves(to))  # type: ignore[misc]
            # One that is always behind gives up: a promotion for each attempt is none.
            while any(map(eq, counts, before)) and not any(one.done() for one in reads):
                sleep(0.001)
        done.set()
        seen = {one for read_ in reads for one in read_.result()}
    assert seen == {(1, 10), (3, 30)}


def test_a_version_that_is_dropped_is_served_to_nobody(store: SqliteStateStore) -> None:
    change_versions(store, side_by_side)
    change_versions(store, lambda held: held.serves("new"))
    held = change_versions(store, lambda now: now.without(""))
    assert (held.former, list(held.namespaces)) == ((), ["new"])
    assert values(reader(store)) == {COUNT: 3, SUM: 30}


def test_changes_that_others_make_meanwhile_are_kept(store: SqliteStateStore) -> None:
    turns = iter(range(3))

    def change(held: Versions) -> Versions:
        if next(turns) == 0:
            change_versions(store, lambda now: now.keeps("other", document(FIRST)))
        return held.keeps("new", document(SECOND))

    held = change_versions(store, change)
    assert sorted(held.namespaces) == ["new", "other"]


def test_who_never_gets_through_is_told_to_try_again(store: SqliteStateStore) -> None:
    names = iter(str(number) for number in range(1_000))

    def change(held: Versions) -> Versions:
        number, now = read_versions(store)
        del now
        store.note_versions(b"{}", number)
        return held.keeps(next(names), document(SECOND))

    with pytest.raises(RetryableError, match="others change"):
        change_versions(store, change)
