"""The plan of the stream says what the definitions mean, and is the same text for the same ones."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Annotated, Any

import msgspec
import pytest

import golden_plan
from headrace_batch.ingest.contract import contract_of
from headrace_features import (
    Count,
    Decisions,
    Distinct,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Last,
    Mean,
    Min,
    Quantile,
    Rule,
    Session,
    Sliding,
    Sum,
    Tumbling,
    Unbounded,
    struct,
)
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.windows import Window
from headrace_features.expressions import nodes
from headrace_features.fraud import definitions as fraud
from headrace_features.project import Project, collect
from headrace_features.stream_plan.expressions import expression
from headrace_features.stream_plan.plan import compile_plan, plan_json
from headrace_schemas.errors import UnsupportedError
from headrace_schemas.events import Event
from histories import LATE, PROMPT, SENSOR
from truth_table import LINES

PLACE = Entity("place", join_key="place_id")


class Visit(Event, frozen=True, kw_only=True):
    """A sensor was at a place: an event that names two entities."""

    visit_id: str
    sensor: str
    place_id: str
    event_time: int
    share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None


VISITS = EventSource("visits", Visit, dedup_key="visit_id", topic="visits-v2")


def view(
    *aggregates: Any,
    name: str = "lately",
    source: EventSource = PROMPT,
    entity: Entity = SENSOR,
    **options: Any,
) -> FeatureView:
    return FeatureView(
        name=name,
        version=1,
        entity=entity,
        source=source,
        aggregates=aggregates or [Count(windows=[Sliding("1h")])],
        **options,
    )


def project(*declared: FeatureView | Decisions) -> Project:
    module = ModuleType("declared")
    for number, one in enumerate(declared):
        setattr(module, f"definition_{number}", one)
    return collect("watch", [module])


def planned(one: FeatureView) -> Any:
    (plan,) = compile_plan(project(one))["views"]
    return plan


def test_the_plan_of_the_built_in_project_is_the_golden_one() -> None:
    golden = golden_plan.FILE.read_text(encoding="utf-8")
    assert golden_plan.text() == golden, (
        "if the change is meant, run `.venv/bin/python tests/golden_plan.py` and commit the result"
    )


def test_the_text_of_a_plan_is_compact_sorted_and_reads_as_the_plan() -> None:
    found = collect("fraud", [fraud])
    text = plan_json(found)
    assert json.loads(text) == compile_plan(found)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_the_order_of_declaration_does_not_change_the_text() -> None:
    declared = (view(), view(name="known", source=LATE), view(name="at", source=VISITS))
    assert plan_json(project(*declared)) == plan_json(project(*reversed(declared)))


def test_what_becomes_known_later_ranks_before_other_sources_then_names_decide() -> None:
    verdicts = EventSource("verdicts", LATE.schema, dedup_key="reading_id", available_at="known_at")
    views = [view(name=f"of_{one.name}", source=one) for one in (PROMPT, VISITS, verdicts, LATE)]
    plan = compile_plan(project(*views))
    ranks = [(source["name"], source["rank"]) for source in plan["sources"]]
    assert ranks == [("late_readings", 0), ("verdicts", 1), ("readings", 2), ("visits", 3)]


@pytest.mark.parametrize("source", [fraud.transactions, fraud.labels, LATE, VISITS])
def test_a_source_is_held_to_the_contract_that_ingest_holds_it_to(source: EventSource) -> None:
    """Whatever the lake takes, the stream takes, or their values would differ."""
    (found,) = compile_plan(project(view(source=source, entity=_entity(source))))["sources"]
    assert found["columns"] == [
        msgspec.to_builtins(column) for column in contract_of(source).columns
    ]


def _entity(source: EventSource) -> Entity:
    return SENSOR if source in (LATE, VISITS) else fraud.card


def test_a_source_says_its_topic_times_keys_and_limits() -> None:
    (source,) = compile_plan(project(view(source=VISITS)))["sources"]
    columns = {column["name"]: column for column in source["columns"]}
    assert (source["topic"], source["schema"]) == ("visits-v2", "Visit")
    assert (source["event_time"], source["available_at"]) == ("event_time", None)
    assert columns["visit_id"]["role"] == "identifier"
    assert columns["event_time"]["role"] == "time_ms"
    assert (columns["share"]["minimum"], columns["share"]["maximum"]) == (0.0, 1.0)


def test_views_of_one_join_key_share_a_stage_and_those_of_the_decided_source_come_first() -> None:
    rules = [Rule("often", "at__count_1h > 1")]
    views = [
        view(name="elsewhere"),
        view(name="popular", source=VISITS, entity=PLACE),
        view(name="at", source=VISITS),
    ]
    declared = Decisions("visits", VISITS, FeatureService("all", views), rules)
    (found,) = compile_plan(project(declared))["decisions"]
    assert found["stages"] == [
        {"join_key": "place_id", "views": ["popular"]},
        {"join_key": "sensor", "views": ["at", "elsewhere"]},
    ]
    assert [rule["name"] for rule in found["rules"]] == ["often"]


def test_a_source_that_is_decided_on_but_has_no_view_is_in_the_plan() -> None:
    declared = Decisions("visits", VISITS, FeatureService("all", [view()]))
    plan = compile_plan(project(declared))
    assert [source["name"] for source in plan["sources"]] == ["readings", "visits"]
    assert [one["source"] for one in plan["decisions"]] == ["visits"]


def test_a_view_is_planned_with_its_meaning() -> None:
    one = view(
        Mean("twice", windows=[Sliding("1h")]), derived={"twice": "amount * 2"}, filter="flag"
    )
    plan = planned(one)
    assert plan["fingerprint"] == fingerprint(one)
    assert (plan["source"], plan["join_key"]) == ("readings", "sensor")
    assert plan["filter"] == {"node": "column", "name": "flag"}
    (derived,) = plan["derived"]
    assert (derived["name"], derived["type"]) == ("twice", "int64")
    assert plan["columns"] == [{"name": "twice", "type": "int64"}]


def test_windows_are_told_by_their_kind_and_lengths() -> None:
    windows: list[Window] = [
        Sliding("1h", hop="5m", delay="1d"),
        Tumbling("1d"),
        Session("30m", delay="1m"),
        Unbounded(),
    ]
    assert [feature["window"] for feature in planned(view(Count(windows=windows)))["features"]] == [
        {"kind": "sliding", "size_ms": 3_600_000, "hop_ms": 300_000, "delay_ms": 86_400_000},
        {"kind": "tumbling", "size_ms": 86_400_000, "delay_ms": 0},
        {"kind": "session", "gap_ms": 1_800_000, "delay_ms": 60_000},
        {"kind": "unbounded", "delay_ms": 0},
    ]


def test_each_feature_says_which_partial_and_which_of_its_columns_it_is_read_off() -> None:
    hour = [Sliding("1h")]
    plan = planned(
        view(
            Count(windows=hour),
            Last(struct("price", "amount"), windows=hour, exclude_current=True),
            Quantile("amount", q=0.95, windows=hour),
            Min("amount", windows=hour, default=-7),
            Distinct("place", windows=hour),
            Sum("price", windows=hour),
        )
    )
    columns = [column["name"] for column in plan["columns"]]
    read = {feature["name"]: feature for feature in plan["features"]}

    def partial(name: str) -> Any:
        return plan["partials"][read[name]["partial"]]

    assert partial("count_1h") == {"kind": "count"}
    for name in ("price", "amount"):
        feature = read[f"{name}_last_1h_excluding_current"]
        edge = plan["partials"][feature["partial"]]
        assert (edge["kind"], edge["last"], feature["exclude_current"]) == ("edge", True, True)
        assert columns[edge["columns"][feature["edge_column"]]] == name
    assert read["amount_p95_1h"]["q"] == [19, 20]
    assert partial("amount_p95_1h")["kind"] == "histogram"
    assert read["amount_min_1h"]["default"] == -7
    assert partial("amount_min_1h")["greatest"] is False
    assert columns[partial("place_distinct_1h")["column"]] == "place"
    moments = {"kind": "moments", "floating": True, "with_squares": False}
    assert partial("price_sum_1h") == moments | {"column": columns.index("price")}


def test_every_node_of_the_grammar_is_told_with_all_below_it() -> None:
    told = [expression(line.expression.node) for line in LINES]
    json.dumps(told, allow_nan=False)
    kinds = {kind for one in told for kind in _kinds(one)}
    assert len(kinds) == len(nodes.Node.__args__)


def _kinds(told: Any) -> set[str]:
    below = told.values() if isinstance(told, dict) else told if isinstance(told, list) else ()
    own = {told["node"]} if isinstance(told, dict) else set()
    return own.union(*(_kinds(one) for one in below))


def test_constants_keep_their_type() -> None:
    constants: list[tuple[nodes.Value, str | None]] = [
        (1, "int64"),
        (1.0, "float64"),
        ("1", "string"),
        (True, "bool"),
        (None, None),
    ]
    for value, kind in constants:
        told = expression(nodes.Literal(value))
        assert told == {"node": "literal", "type": kind, "value": value}
        assert type(told["value"]) is type(value)


def test_a_view_over_more_columns_than_the_stream_keeps_is_refused_by_name() -> None:
    many = {f"derived_{number}": f"amount + {number}" for number in range(65)}
    sums = [Sum(name, windows=[Sliding("1h")]) for name in many]
    with pytest.raises(UnsupportedError) as caught:
        compile_plan(project(view(*sums, derived=many, name="wide")))
    for part in ("feature view wide aggregates 65 columns", "at most 62", "divide it"):
        assert part in str(caught.value)
