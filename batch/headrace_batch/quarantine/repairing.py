"""What rows of a quarantine are changed to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from headrace_features.expressions.grammar import Expression, parse
from headrace_features.expressions.nodes import Literal
from headrace_features.expressions.rows import evaluate
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from headrace_batch.quarantine.kept_rows import KeptRow
    from headrace_features.definitions.sources import EventSource


def changes_of(source: EventSource, texts: Iterable[str]) -> dict[str, Expression]:
    """What columns are set to, from texts such as ``amount_minor=ABS(amount_minor)``.

    Raises:
        ConfigurationError: a text without "=", an unknown column, or no row expression.
    """
    types = {column.name: column.type for column in source.columns}
    changes = {}
    for text in texts:
        name, equals, expression = text.partition("=")
        if not equals:
            raise ConfigurationError(
                f"--set {text!r} sets nothing", hint="write it as COLUMN=EXPRESSION"
            )
        column = source.column(name.strip())
        if expression.strip().upper() == "NULL":
            changes[column.name] = Expression(expression, Literal(None), column.type, ())
            continue
        changes[column.name] = parse(expression, types, f"--set {column.name}")
        if changes[column.name].type is not column.type:
            raise ConfigurationError(
                f"--set {column.name}: {expression.strip()!r} is {changes[column.name].type},"
                f" expected {column.type}"
            )
    return changes


def changed(
    source: EventSource, row: KeptRow, changes: Mapping[str, Expression]
) -> Mapping[str, Any]:
    """The columns of a row after changes, each computed from the row as it was.

    Raises:
        BadRecordError: a change can't be computed for this row.
    """
    before = {column.name: (row.event or {}).get(column.name) for column in source.columns}
    after = dict(before)
    for name, expression in changes.items():
        try:
            after[name] = evaluate(expression.node, before)
        except (BadRecordError, TypeError, ValueError, OverflowError) as error:
            reason = error.reason if isinstance(error, BadRecordError) else Reason.WRONG_TYPE
            told = f"{name} can't be set to {expression.text.strip()!r}: {error}"
            raise BadRecordError(reason, told, field=name) from error
    return after
