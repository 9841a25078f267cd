"""Row expressions mean the same in every engine, and what is outside the grammar is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features.expressions import arrow, nodes, rows
from headrace_features.expressions.grammar import Expression, parse
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.reasons import Reason
from truth_table import CASES, COLUMNS, LINES, Line, Outcome, same

SCHEMA = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in COLUMNS.items()])
Row = Mapping[str, Any]


def in_python(expression: Expression, row: Row) -> Outcome:
    try:
        return Outcome(rows.evaluate(expression.node, row))
    except BadRecordError as error:
        return Outcome(error=error.reason)


def in_arrow(expression: Expression, table: Sequence[Row]) -> list[Outcome] | Outcome:
    columns = pa.Table.from_pylist([dict(row) for row in table], schema=SCHEMA)
    try:
        values = arrow.evaluate(
            expression.node,
            {name: columns[name] for name in COLUMNS},
            len(table),
            ARROW_TYPES[expression.type],
        )
    except BadRecordError as error:
        return Outcome(error=error.reason)
    assert values.type == ARROW_TYPES[expression.type]
    return [Outcome(value) for value in values.to_pylist()]


def of_node(node: nodes.Node) -> Iterator[type]:
    """The types of a node and of all below it."""
    yield type(node)
    below: list[Any] = [getattr(node, name) for name in node.__dataclass_fields__]
    while below:
        value = below.pop()
        if isinstance(value, tuple):
            below.extend(value)
        elif hasattr(value, "__dataclass_fields__"):
            yield from of_node(value)


def test_the_truth_table_covers_every_node_every_type_and_every_operator() -> None:
    parsed = [line.expression for line in LINES]
    assert {kind for e in parsed for kind in of_node(e.node)} == set(nodes.Node.__args__)
    assert {e.type for e in parsed} == set(ColumnType)
    operators = (
        "= ",
        "<> ",
        "< ",
        "<= ",
        "> ",
        ">= ",
        " + ",
        " - ",
        " * ",
        " / ",
        "NOT IN",
        "NOT BETWEEN",
    )
    for operator in operators:
        assert any(operator in line.text for line in LINES), operator


@pytest.mark.parametrize("text", CASES)
def test_an_expression_means_in_python_what_the_table_says(text: str) -> None:
    kind, lines = CASES[text]
    for line in lines:
        assert line.expression.type is kind
        assert same(in_python(line.expression, line.row), line.expected), line


@pytest.mark.parametrize("text", CASES)
def test_an_expression_means_in_arrow_what_the_table_says(text: str) -> None:
    _, lines = CASES[text]
    for line in lines:
        if line.expected.error is not None:
            found = in_arrow(line.expression, [line.row])
            assert isinstance(found, Outcome), line
            assert same(found, line.expected), line
    plain = [line for line in lines if line.expected.error is None]
    together = in_arrow(plain[0].expression, [line.row for line in plain])
    assert isinstance(together, list)
    for line, found_one in zip(plain, together, strict=True):
        assert same(found_one, line.expected), line


def in_duckdb(connection: duckdb.DuckDBPyConnection, line: Line) -> Outcome:
    connection.register("events", pa.Table.from_pylist([line.row], schema=SCHEMA))
    try:
        found = connection.sql(f"SELECT {line.text} FROM events").fetchall()  # noqa: S608 - the table's
    except duckdb.Error as error:
        return Outcome(error=str(error))
    return Outcome(found[0][0])


def test_an_expression_means_in_duckdb_what_the_table_says() -> None:
    with duckdb.connect() as connection:
        for line in LINES:
            found = in_duckdb(connection, line)
            assert line.agrees("duckdb", found), (line, found)


ROWS = st.fixed_dictionaries(
    {
        "amount": st.one_of(
            st.none(),
            st.integers(-4, 4),
            st.sampled_from([2**53 + 1, 2**62, 2**63 - 1, -(2**63), -(2**31)]),
        ),
        "other": st.one_of(st.none(), st.integers(-4, 4), st.integers(-(2**63), 2**63 - 1)),
        "price": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        "rate": st.one_of(st.none(), st.sampled_from([0.0, -0.0, 0.5, 3.0, 2.0**53, 1e308, -4.0])),
        "place": st.sampled_from([None, "", "a", "B", "ä", "\uff5e", "\U0001f600"]),
        "home": st.sampled_from([None, "", "a", "ab", "\uff5e"]),
        "flag": st.sampled_from([None, True, False]),
        "known": st.sampled_from([None, True, False]),
    }
)


def expressions(kind: ColumnType, depth: int) -> st.SearchStrategy[str]:
    """Texts of expressions of a type, all of the grammar's nodes among them."""
    leaves = {
        ColumnType.INT64: ["amount", "other", "0", "3", "9007199254740993", "-1"],
        ColumnType.FLOAT64: ["price", "rate", "0.5", "0.0", "-0.0", "1e308", "3.0"],
        ColumnType.STRING: ["place", "home", "''", "'a'", "'\uff5e'"],
        ColumnType.BOOL: ["flag", "known", "TRUE", "FALSE"],
    }
    leaf = st.sampled_from(leaves[kind])
    if depth == 0:
        return leaf
    same_kind = expressions(kind, depth - 1)
    condition = expressions(ColumnType.BOOL, depth - 1)
    grown = [
        leaf,
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, condition, same_kind, same_kind),
        st.builds(
            "CASE WHEN {} THEN NULL WHEN {} THEN {} END".format, condition, condition, same_kind
        ),
        st.builds("COALESCE({}, {})".format, same_kind, same_kind),
        st.builds("COALESCE(NULL, {}, {})".format, same_kind, same_kind),
    ]
    if kind is ColumnType.BOOL:
        grown += conditions(depth)
    elif kind is not ColumnType.STRING:
        operator = st.sampled_from(["+", "-", "*"])
        grown += [
            st.builds("({} {} {})".format, same_kind, operator, same_kind),
            st.builds("(- {})".format, same_kind),
            st.builds("ABS({})".format, same_kind),
        ]
        if kind is ColumnType.FLOAT64:
            whole = expressions(ColumnType.INT64, depth - 1)
            grown.append(st.builds("({} / {})".format, same_kind, st.one_of(whole, same_kind)))
            grown.append(st.builds("({} / {})".format, whole, st.one_of(whole, same_kind)))
            grown.append(st.builds("({} {} {})".format, whole, operator, same_kind))
    return st.one_of(grown)


def conditions(depth: int) -> list[st.SearchStrategy[str]]:
    """Texts of conditions, as `expressions`."""
    condition = expressions(ColumnType.BOOL, depth - 1)
    anything = st.one_of([expressions(kind, depth - 1) for kind in ColumnType])
    comparison = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    found = [
        st.builds("({} AND {})".format, condition, condition),
        st.builds("({} OR {})".format, condition, condition),
        st.builds("(NOT {})".format, condition),
        st.builds("({} IS NULL)".format, anything),
        st.builds("({} IS NOT NULL)".format, anything),
        st.builds("({} = NULL)".format, anything),
        st.builds("({} AND NULL)".format, condition),
        st.builds("({} OR NULL)".format, condition),
    ]
    for kind in ColumnType:
        value = expressions(kind, depth - 1)
        constants = {
            ColumnType.INT64: "(0, 3, -1)",
            ColumnType.FLOAT64: "(0.0, 3, 0.5)",
            ColumnType.STRING: "('', 'ä')",
            ColumnType.BOOL: "(TRUE)",
        }[kind]
        found += [
            st.builds("({} {} {})".format, value, comparison, value),
            st.builds("({} IN {})".format, value, st.just(constants)),
            st.builds("({} NOT IN {})".format, value, st.just(constants)),
            st.builds("({} BETWEEN {} AND {})".format, value, value, value),
        ]
    numbers = [expressions(kind, depth - 1) for kind in (ColumnType.INT64, ColumnType.FLOAT64)]
    found.append(st.builds("({} {} {})".format, numbers[0], comparison, numbers[1]))
    return found


@given(
    text=st.one_of([expressions(kind, 2) for kind in ColumnType]),
    table=st.lists(ROWS, max_size=6),
)
@settings(deadline=None, max_examples=400)
def test_any_expression_means_the_same_in_python_and_arrow(text: str, table: list[Row]) -> None:
    expression = parse(text, COLUMNS, "test")
    by_row = [in_python(expression, row) for row in table]
    by_column = in_arrow(expression, table)
    if isinstance(by_column, Outcome):
        assert by_column.error in {outcome.error for outcome in by_row}
        return
    assert len(by_column) == len(table)
    assert all(same(*pair) for pair in zip(by_row, by_column, strict=True))


@pytest.mark.parametrize("text", ["amount = price", "amount + price", "ABS(price - amount) < 1"])
def test_integers_that_no_double_holds_are_rounded_for_whole_columns_at_once(text: str) -> None:
    expression = parse(text, COLUMNS, "test")
    row = dict.fromkeys(COLUMNS) | {"amount": 2**53 + 1, "price": 2.0**53}
    columns = pa.Table.from_pylist([row, dict.fromkeys(COLUMNS)], schema=SCHEMA)
    # Straight from Arrow: only what fails there is computed row by row.
    found = arrow._evaluate(expression.node, {name: columns[name] for name in COLUMNS})
    assert found.to_pylist() == [rows.evaluate(expression.node, row), None]


@pytest.mark.parametrize("value", [2**63 - 1, 4])
def test_a_branch_that_no_row_takes_can_not_fail_in_any_batch(value: int) -> None:
    guarded = parse("CASE WHEN amount < 1000 THEN amount * 1000 ELSE 0 END", COLUMNS, "test")
    # More rows than are evaluated one by one at a time.
    table = [dict.fromkeys(COLUMNS) | {"amount": value}] * 5_000
    found = in_arrow(guarded, table)
    assert isinstance(found, list)
    assert len(found) == 5_000
    assert {outcome.value for outcome in found} == {0 if value > 4 else 4_000}


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        (
            "amount + 1",
            Reason.INTEGER_OVERFLOW,
            "gives 9223372036854775808, which is outside int64",
        ),
        ("amount * 1e300 * 1e300", Reason.NOT_FINITE, "gives inf, which is no finite double"),
    ],
)
def test_arithmetic_that_leaves_its_type_says_what_it_gave(
    text: str, reason: Reason, message: str
) -> None:
    expression = parse(text, COLUMNS, "test")
    row = dict.fromkeys(COLUMNS) | {"amount": 2**63 - 1}
    with pytest.raises(BadRecordError, match=message) as in_rows:
        rows.evaluate(expression.node, row)
    assert in_rows.value.reason is reason
    assert in_arrow(expression, [row]) == Outcome(error=reason)


ALLOWED = "allowed: columns, numbers, 'strings', TRUE, FALSE, NULL"
REFUSED = {
    "LOWER(place) = 'x'": ("LOWER(place)", ALLOWED),
    "LENGTH(place) > 1": ("LENGTH(place)", ALLOWED),
    "my_function(amount)": ("MY_FUNCTION(amount)", ALLOWED),
    "IF(flag, 1, 2)": ("CASE WHEN flag", ALLOWED),
    "amount IN (SELECT 1)": ("amount IN (SELECT 1)", ALLOWED),
    "EXISTS(SELECT 1)": ("EXISTS(SELECT 1)", ALLOWED),
    "(SELECT 1) > amount": ("(SELECT 1)", ALLOWED),
    "SELECT 1": ("SELECT 1", ALLOWED),
    "CAST(amount AS STRING)": ("CAST(amount AS TEXT)", ALLOWED),
    "amount::int > 1": ("CAST(amount AS INT)", ALLOWED),
    "DATE '2020-01-01' = place": ("CAST('2020-01-01' AS DATE)", ALLOWED),
    "place LIKE 'a%'": ("place LIKE 'a%'", ALLOWED),
    "place ILIKE 'a%'": ("place ILIKE 'a%'", ALLOWED),
    "place || home = 'ab'": ("place || home", ALLOWED),
    "'a' 'b' = place": ("'a'", ALLOWED),
    "amount // 2 > 1": ("can't be parsed",),
    "amount DIV 2 > 1": ("DIV", ALLOWED),
    "amount / place > 1": ("'place'", "is string, expected a number"),
    "amount % 2 = 0": ("amount % 2", ALLOWED),
    "amount & 1 = 0": ("amount & 1", ALLOWED),
    "SUM(amount) > 1": ("SUM(amount)", ALLOWED),
    "COUNT(*) > 1": ("COUNT(*)", ALLOWED),
    "COUNT(*) OVER () > 1": ("COUNT(*) OVER ()", ALLOWED),
    "ABS(DISTINCT amount) > 1": ("DISTINCT amount", ALLOWED),
    "CASE amount WHEN 1 THEN 2 END": ("CASE amount WHEN 1", ALLOWED),
    "flag IS TRUE": ("flag IS TRUE", ALLOWED),
    "amount IS DISTINCT FROM other": ("amount IS DISTINCT FROM other", ALLOWED),
    "amount BETWEEN SYMMETRIC 5 AND 1": ("amount BETWEEN SYMMETRIC 5 AND 1", ALLOWED),
    "events.amount > 1": ("events.amount", ALLOWED),
    "amount AS twice": ("amount AS twice", ALLOWED),
    "amount > 1; flag": ("is not part of row expressions", ALLOWED),
    "0x10 > amount": ("can't be parsed",),
    "amount IN ()": ("is not part of row expressions", ALLOWED),
    "[amount]": ("is not part of row expressions", ALLOWED),
    "*": ("'*'", ALLOWED),
    ":amount > 1": (":amount", ALLOWED),
    "": ("can't be parsed",),
    "amount >": ("can't be parsed: Something is missing. Line 1, Col: 8",),
    "ABS()": ("can't be parsed: Something is missing. Line 1, Col: 5",),
    "amount > > 1": ("is not part of row expressions", ALLOWED),
    "(amount > 1": ("can't be parsed",),
    "'open": ("can't be parsed",),
    "amonut > 1": ("unknown column in view v, filter 'amonut', did you mean 'amount'?", "price"),
    "Amount > 1": ("unknown column in view v, filter 'Amount'", "amount"),
    "amount = place": ("is int64 beside string, expected values of one type",),
    "flag = 1": ("is bool beside int64, expected values of one type",),
    "amount BETWEEN 1 AND 'x'": ("is int64 beside string",),
    "amount IN (1, 'x')": ("is int64 beside string",),
    "amount IN (1, 2.5)": ("'2.5'", "is float64, expected an int64"),
    "amount IN (1, NULL)": ("'NULL'", "expected a constant"),
    "amount IN (other)": ("'other'", "is not one, expected a constant"),
    "amount + place": ("'place'", "is string, expected a number"),
    "amount + NULL": ("'NULL'", "is null, expected a number"),
    "-place": ("'place'", "is string, expected a number"),
    "ABS(flag)": ("'flag'", "is bool, expected a number"),
    "GREAT_CIRCLE_KM(price, rate, amount) > 1": ("is 3, expected four arguments",),
    "GREAT_CIRCLE_KM() > 1": ("is 0, expected four arguments",),
    "GREAT_CIRCLE_KM(price, rate, place, 1) > 1": ("'place'", "is string, expected a number"),
    "GREAT_CIRCLE_KM(price, rate, flag, 1) > 1": ("'flag'", "is bool, expected a number"),
    "GREAT_CIRCLE_MILES(price, rate, 1, 1) > 1": ("GREAT_CIRCLE_MILES", "GREAT_CIRCLE_KM("),
    "amount AND flag": ("'amount'", "is int64, expected bool"),
    "NOT place": ("'place'", "is string, expected bool"),
    "CASE WHEN amount THEN 1 END": ("'amount'", "is int64, expected bool"),
    "CASE WHEN flag THEN 1 ELSE 'x' END": ("is int64 beside string",),
    "CASE WHEN flag THEN 1 ELSE 1.5 END": ("is int64 beside float64",),
    "COALESCE(amount, price)": ("is int64 beside float64",),
    "1 < amount < 5": ("compares a condition", "put brackets around the condition"),
    "flag = place IS NULL": ("compares a condition", "put brackets around the condition"),
    "flag = known IS NOT NULL": ("compares a condition", "put brackets around the condition"),
    "place IS NULL = flag": ("compares a condition", "put brackets around the condition"),
    "flag = amount IN (1)": ("compares a condition", "put brackets around the condition"),
    "flag = NOT known": ("compares a condition", "put brackets around the condition"),
    "flag = amount BETWEEN 1 AND 2": ("compares a condition", "put brackets"),
    "amount > 9223372036854775808": ("is too large, expected an int64",),
    "price < 1e400": ("is too large, expected a float64",),
    "NULL": ("'NULL' is always null",),
    "COALESCE(NULL, NULL)": ("'COALESCE(NULL, NULL)' is always null",),
    "CASE WHEN flag THEN NULL END": ("is always null",),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_outside_the_grammar_is_refused_with_where_and_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, COLUMNS, "view v, filter")
    message = str(caught.value)
    for part in ("view v, filter", *REFUSED[text]):
        assert part in message
    assert "sqlglot" not in message


def test_an_expression_knows_the_columns_that_it_reads_each_once() -> None:
    parsed = parse(
        "flag AND amount > 0 AND COALESCE(place, home) = 'x' AND amount < 9", COLUMNS, "t"
    )
    assert parsed.columns == ("flag", "amount", "place", "home")


def test_spaces_case_of_keywords_and_outer_brackets_do_not_change_what_is_read() -> None:
    plain = parse("amount IN (1, 2) AND NOT flag", COLUMNS, "t")
    spaced = parse(" ( amount  in (1,2) )\n and  not ( flag ) -- why", COLUMNS, "t")
    assert plain.node == spaced.node
