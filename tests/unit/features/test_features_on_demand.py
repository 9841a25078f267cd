"""On-demand views: what is refused, what they mean, and one value by row and by column."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import (
    Count,
    FeatureService,
    FeatureView,
    Last,
    Mean,
    OnDemandView,
    Sliding,
    Sum,
)
from headrace_features.definitions.fingerprint import fingerprint, meaning
from headrace_features.feast_plugin.changes import ChangeKind, Registered, changes
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_features.on_demand import (
    Value,
    column_of,
    may_be_request,
    request_column,
    request_value,
    value_of,
)
from headrace_features.project import Project, collect
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import BadRecordError, ConfigurationError
from histories import PROMPT, SENSOR, bits

HOUR = [Sliding("1h")]


def lately(*more: Any, version: int = 1, **changed: Any) -> FeatureView:
    aggregates: list[Any] = [
        Count(windows=HOUR),
        Mean("amount", windows=HOUR),
        Last("place", windows=HOUR),
    ]
    return FeatureView("lately", version, SENSOR, PROMPT, [*aggregates, *more], **changed)


LATELY = lately()


def on_demand(**changed: Any) -> OnDemandView:
    declared: dict[str, Any] = {
        "name": "context",
        "version": 1,
        "inputs": [LATELY],
        "request": {"paid": int, "rate": ColumnType.FLOAT64},
        "features": {"share": "paid / lately__amount_mean_1h", "scaled": "paid * rate"},
    }
    return OnDemandView(**(declared | changed))


def project(*declared: Any) -> Project:
    module = ModuleType("declared")
    for number, one in enumerate(declared):
        setattr(module, f"definition_{number}", one)
    return collect("shop", [module])


REFUSED: Mapping[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "a name": (lambda: on_demand(name="Context"), ("'Context' can't name the on-demand view",)),
    "a version": (lambda: on_demand(version=0), ("on-demand view context: version=0, expected",)),
    "no inputs": (lambda: on_demand(inputs=[]), ("has the inputs none", "at least one view")),
    "an input twice": (
        lambda: on_demand(inputs=[LATELY, LATELY.select("count_1h")]),
        ("has the inputs lately, lately", "each once"),
    ),
    "itself as an input": (
        lambda: on_demand(name="lately"),
        ("has the inputs lately", "not itself"),
    ),
    "an input that is no view": (
        lambda: on_demand(inputs=[SENSOR]),
        ("is Entity", "feature views, or selections"),
    ),
    "no features": (lambda: on_demand(features={}), ("on-demand view context has no features",)),
    "a feature's name": (
        lambda: on_demand(features={"Share": "paid"}),
        ("'Share' can't name the feature",),
    ),
    "an unknown column": (
        lambda: on_demand(features={"share": "paied + 1"}),
        ("on-demand view context, feature share", "did you mean 'paid'", "lately__count_1h"),
    ),
    "an unselected feature": (
        lambda: on_demand(inputs=[LATELY.select("count_1h")]),
        ("'lately__amount_mean_1h'", "lately__count_1h"),
    ),
    "a wrong type": (
        lambda: on_demand(features={"share": "paid + lately__place_last_1h"}),
        ("'lately__place_last_1h'", "is string, expected a number"),
    ),
    "what is outside the grammar": (
        lambda: on_demand(features={"share": "LOG(paid)"}),
        ("feature share", "allowed: columns"),
    ),
    "a constant": (
        lambda: on_demand(features={"one": "1"}),
        ("'1' is the same for every request", "lately__count_1h, "),
    ),
    "a feature named like a request column": (
        lambda: on_demand(features={"paid": "paid + 1"}),
        ("a feature and a request column named paid",),
    ),
    "a request column's name": (
        lambda: on_demand(request={"Paid": int}),
        ("'Paid' can't name the request column",),
    ),
    "a request column named like a feature in flat tables": (
        lambda: on_demand(request={"lately__count_1h": int}),
        ("'lately__count_1h' can't name the request column",),
    ),
    "a request column of no type": (
        lambda: on_demand(request={"paid": list}),
        ("the request column 'paid' is <class 'list'>", "int, float, str, bool"),
    ),
    "a join key in the request": (
        lambda: on_demand(request={"sensor": str}),
        ("'sensor' is the join key of an input", "leave it out"),
    ),
    "a time in the request": (
        lambda: on_demand(request={"event_time": int}),
        ("'event_time' has a meaning of its own", "as_of"),
    ),
    "an unknown selection": (
        lambda: on_demand().select("shares"),
        ("unknown feature of context 'shares', did you mean 'share'",),
    ),
    "a service that names it twice": (
        lambda: FeatureService("s", [on_demand(), on_demand().select("share")]),
        ("names 2 views: context, context",),
    ),
    "a feature view of the same name": (
        lambda: project(
            on_demand(), FeatureView("context", 1, SENSOR, PROMPT, [Count(windows=HOUR)])
        ),
        ("a feature view and an on-demand view are both named context",),
    ),
    "two types of one request column": (
        lambda: project(on_demand(), on_demand(name="other", request={"paid": float, "rate": int})),
        ("the request column 'paid' is float64 in other, and int64 elsewhere",),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_declaration_is_refused_with_what_was_found_and_what_is_allowed(case: str) -> None:
    declare, said = REFUSED[case]
    with pytest.raises(ConfigurationError) as caught:
        declare()
    for part in said:
        assert part in str(caught.value)


def test_a_view_knows_its_types_and_what_each_feature_is_made_of() -> None:
    view = on_demand()
    assert {one.name: one.type for one in view.computed} == {
        "share": ColumnType.FLOAT64,
        "scaled": ColumnType.FLOAT64,
    }
    assert view.reads(["share"]) == (LATELY.select("amount_mean_1h"),)
    assert view.reads(["scaled"]) == ()


def test_a_service_keeps_apart_what_is_kept_and_what_is_computed() -> None:
    service = FeatureService("s", [on_demand().select("share"), LATELY.select("count_1h")])
    assert service.selections == (LATELY.select("count_1h"),)
    assert service.on_demand == (on_demand().select("share"),)
    assert service.asked == (*service.selections, *service.on_demand)


def test_a_project_finds_what_an_on_demand_view_is_made_of_and_selects_from_it() -> None:
    found = project(on_demand())
    assert set(found.views) == {"lately"}
    assert found.select(["context:share", "lately:count_1h"]) == (
        on_demand().select("share"),
        LATELY.select("count_1h"),
    )
    with pytest.raises(ConfigurationError, match="did you mean 'context'"):
        found.select(["contxt"])


SAME_MEANING = {
    "a description": on_demand(description="of a payment", owner="shop", tags={"a": "b"}),
    "spaces and brackets": on_demand(
        features={"share": "(paid/lately__amount_mean_1h)", "scaled": "paid * rate"}
    ),
    "another feature of the input": on_demand(inputs=[lately(Sum("price", windows=HOUR))]),
    "the input's version": on_demand(inputs=[lately(version=2)]),
    "a selection of what is used": on_demand(inputs=[LATELY.select("amount_mean_1h")]),
    "a derived column that is not used": on_demand(inputs=[lately(derived={"near": "price < 1"})]),
}
OTHER_MEANING = {
    "an expression": on_demand(features={"share": "paid / 2", "scaled": "paid * rate"}),
    "one feature more": on_demand(
        features={**on_demand().features, "much": "paid > lately__count_1h"}
    ),
    "a type": on_demand(request={"paid": float, "rate": float}),
    "a request column more": on_demand(request={"paid": int, "rate": float, "more": int}),
    "what the input keeps": on_demand(inputs=[lately(filter="amount > 1")]),
}


@pytest.mark.parametrize("case", SAME_MEANING)
def test_what_changes_no_value_changes_no_meaning(case: str) -> None:
    assert fingerprint(SAME_MEANING[case]) == fingerprint(on_demand())


@pytest.mark.parametrize("case", OTHER_MEANING)
def test_what_changes_values_changes_the_meaning(case: str) -> None:
    assert fingerprint(OTHER_MEANING[case]) != fingerprint(on_demand())


def test_a_changed_meaning_needs_a_new_version_of_the_on_demand_view() -> None:
    known = {
        "lately": Registered(1, meaning(LATELY)),
        "context": Registered(1, meaning(on_demand())),
    }
    changed = OTHER_MEANING["an expression"]

    def kinds(*declared: Any) -> dict[str, ChangeKind]:
        return {change.view: change.kind for change in changes(known, project(*declared))}

    assert kinds(on_demand()) == {"context": ChangeKind.UNCHANGED, "lately": ChangeKind.UNCHANGED}
    assert kinds(changed)["context"] is ChangeKind.REFUSED
    newer = on_demand(features=changed.features, version=2)
    assert kinds(newer)["context"] is ChangeKind.CHANGED
    assert kinds(LATELY)["context"] is ChangeKind.REMOVED


def test_an_earlier_version_may_be_registered_again_once_it_is_served_again() -> None:
    known = {"lately": Registered(2, meaning(LATELY))}

    def kind(**served: int) -> ChangeKind:
        return changes(known, project(LATELY), served)[0].kind

    assert kind() is ChangeKind.REFUSED
    assert kind(lately=2) is ChangeKind.REFUSED
    assert kind(lately=1) is ChangeKind.CHANGED


EVERYTHING = FeatureView(
    "all",
    1,
    SENSOR,
    PROMPT,
    [Last(name, windows=HOUR) for name in ("amount", "price", "place", "flag")],
)
EXPRESSIONS = {
    "ratio": "whole / all__amount_last_1h",
    "ratio_of_doubles": "real / all__price_last_1h",
    "difference": "whole - all__amount_last_1h",
    "product": "real * all__price_last_1h",
    "square": "all__amount_last_1h * all__amount_last_1h",
    "negated": "-whole",
    "distance": "GREAT_CIRCLE_KM(real, all__price_last_1h, 1.5, all__amount_last_1h)",
    "known": "COALESCE(all__price_last_1h, real)",
    "kept": "real",
    "same_place": "text = all__place_last_1h",
    "either": "truth OR all__flag_last_1h",
    "much": "CASE WHEN real > all__price_last_1h THEN 'much' WHEN truth THEN text END",
    "listed": "real IN (0.0, 1e308) AND NOT whole IN (0, 9223372036854775807)",
}
VIEW = OnDemandView(
    "any",
    1,
    [EVERYTHING],
    EXPRESSIONS,
    request={"whole": int, "real": float, "text": str, "truth": bool},
)
WHOLE = st.none() | st.sampled_from([0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)]) | st.integers(-9, 9)
REAL = st.none() | st.sampled_from([0.0, -0.0, 5e-324, 1e308, -1e308]) | st.floats()
TEXT = st.sampled_from([None, "", "a", "ä", "\U0001f600"])
ROWS = st.fixed_dictionaries(
    {
        "whole": WHOLE,
        "real": REAL,
        "text": TEXT,
        "truth": st.none() | st.booleans(),
        "all__amount_last_1h": WHOLE,
        "all__price_last_1h": REAL,
        "all__place_last_1h": TEXT,
        "all__flag_last_1h": st.none() | st.booleans(),
    }
)


def by_row(row: Mapping[str, Any]) -> dict[str, Value]:
    brought = {
        name: request_value(name, kind, row[name]) for name, kind in VIEW.request_types.items()
    }
    return {one.name: value_of(one, {**row, **brought}) for one in VIEW.computed}


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Value]]:
    columns = {
        name: pa.chunked_array([pa.array([row[name] for row in rows], ARROW_TYPES[kind])])
        for name, kind in VIEW.column_types.items()
    }
    for name, kind in VIEW.request_types.items():
        columns[name] = request_column(name, kind, columns[name])
    found = {one.name: column_of(one, columns, len(rows)) for one in VIEW.computed}
    for one in VIEW.computed:
        assert found[one.name].type == ARROW_TYPES[one.type]
    return {name: values.to_pylist() for name, values in found.items()}


@given(rows=st.lists(ROWS, max_size=8))
@settings(deadline=None, max_examples=400)
def test_a_value_has_the_same_bits_by_row_and_by_column(rows: list[dict[str, Any]]) -> None:
    found = by_column(rows)
    expected = [by_row(row) for row in rows]
    for name, values in found.items():
        assert [bits(value) for value in values] == [bits(row[name]) for row in expected], name


def test_what_is_beyond_the_numbers_is_null_and_takes_no_other_value_with_it() -> None:
    full = {
        "whole": 2**63 - 1,
        "real": 1e308,
        "text": "a",
        "truth": True,
        "all__amount_last_1h": -1,
        "all__price_last_1h": 1e308,
        "all__place_last_1h": "a",
        "all__flag_last_1h": False,
    }
    less = {**full, "whole": 1, "real": 2.0, "all__price_last_1h": 0.0}
    found = by_column([full, less])
    assert found["difference"] == [None, 2]
    assert found["product"] == [None, 0.0]
    assert found["ratio_of_doubles"] == [1.0, None]
    assert by_row(full)["difference"] is None


BROUGHT = (
    (ColumnType.INT64, 3, 3),
    (ColumnType.INT64, np.int32(3), 3),
    (ColumnType.INT64, 3.0, 3),
    (ColumnType.INT64, math.nan, None),
    (ColumnType.FLOAT64, 2**53 + 1, float(2**53)),
    (ColumnType.FLOAT64, np.float32(0.5), 0.5),
    (ColumnType.FLOAT64, math.inf, None),
    (ColumnType.FLOAT64, np.float32("nan"), None),
    (ColumnType.STRING, "", ""),
    (ColumnType.BOOL, np.bool_(1), True),
    (ColumnType.BOOL, None, None),
)


@pytest.mark.parametrize(("kind", "value", "expected"), BROUGHT)
def test_what_a_request_brings_is_brought_to_its_type(
    kind: ColumnType, value: object, expected: Value
) -> None:
    found = request_value("given", kind, value)
    assert (type(found), found) == (type(expected), expected)


UNFIT = (
    (ColumnType.INT64, 2**63),
    (ColumnType.INT64, 1.5),
    (ColumnType.INT64, True),
    (ColumnType.INT64, "1"),
    (ColumnType.FLOAT64, False),
    (ColumnType.FLOAT64, 10**400),
    (ColumnType.STRING, 1),
    (ColumnType.BOOL, 1),
)


@pytest.mark.parametrize(("kind", "value"), UNFIT)
def test_what_does_not_fit_its_column_is_refused(kind: ColumnType, value: object) -> None:
    with pytest.raises(BadRecordError, match=rf"given=.* expected {kind}"):
        request_value("given", kind, value)


def test_columns_of_a_spine_fit_as_the_values_of_requests_do() -> None:
    def column(kind: ColumnType, values: pa.Array) -> list[Any]:
        assert may_be_request(kind, values.type)
        found: list[Any] = request_column("given", kind, pa.chunked_array([values])).to_pylist()
        return found

    assert column(ColumnType.INT64, pa.array([3.0, math.nan, None])) == [3, None, None]
    assert column(ColumnType.INT64, pa.array([None, None])) == [None, None]
    assert column(ColumnType.FLOAT64, pa.array([2**53 + 1, 1])) == [float(2**53), 1.0]
    assert column(ColumnType.FLOAT64, pa.array([0.5, math.inf], pa.float32())) == [0.5, None]
    assert column(ColumnType.STRING, pa.array(["a", None]).dictionary_encode()) == ["a", None]
    with pytest.raises(BadRecordError, match="column 'given' of the spine is double and can't be"):
        column(ColumnType.INT64, pa.array([1.5]))
    assert not may_be_request(ColumnType.INT64, pa.bool_())
    assert not may_be_request(ColumnType.FLOAT64, pa.string())
    assert not may_be_request(ColumnType.BOOL, pa.int64())
