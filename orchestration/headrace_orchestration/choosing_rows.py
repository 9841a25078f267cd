"""Which rows of a quarantine a command is about: by names, by reasons, or all that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_batch.quarantine.kept_rows import KeptRow, RowState, kept_rows, known_reasons
from headrace_batch.quarantine.row_names import rows_named
from headrace_batch.warehouse import Warehouse
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headrace_features.definitions.sources import EventSource
    from headrace_schemas.settings import Settings

_SHOWN = 5
_CLOSED = {
    RowState.RELEASED: "was released before",
    RowState.ARRIVED: "waits no more, as its key has arrived otherwise",
}


def chosen_rows(
    settings: Settings,
    source: EventSource,
    names: Collection[str],
    reasons: Collection[str],
    *,
    everything: bool = False,
) -> list[KeptRow]:
    """The rows of a source that options choose.

    Args:
        settings: where the lake is.
        source: whose rows.
        names: of rows; none is all.
        reasons: of which rows have one; none is any.
        everything: those too that wait no more.

    Raises:
        ConfigurationError: there is no such row or reason, or a name means several rows.
    """
    warehouse = Warehouse.of(settings)
    if reasons:
        known = known_reasons(warehouse, source)
        for reason in reasons:
            if reason not in known:
                raise ConfigurationError.unknown(f"reason of {source.name}", reason, known)
    rows = kept_rows(warehouse, source, names=names, reasons=reasons)
    if names:
        meant = _meant(source, rows, names, reasons, everything=everything)
        return list({row.id: row for row in meant.values()}.values())
    return [row for row in rows if everything or row.state.is_open]


def rows_by_name(
    settings: Settings, source: EventSource, names: Collection[str]
) -> dict[str, KeptRow]:
    """The rows that wait, by names of them.

    Raises:
        ConfigurationError: there is none, or a name means several.
    """
    rows = kept_rows(Warehouse.of(settings), source, names=names)
    return _meant(source, rows, names, ())


def having(reasons: Collection[str]) -> str:
    """How rows are told from others by their reasons, after the name of their source."""
    return f" with the reason {' or '.join(reasons)}" if reasons else ""


def _meant(
    source: EventSource,
    rows: Sequence[KeptRow],
    names: Collection[str],
    reasons: Collection[str],
    *,
    everything: bool = False,
) -> dict[str, KeptRow]:
    """By name the one row that it means."""
    by_id = {row.id: row for row in rows}
    return {
        name: _one(source, name, [by_id[one] for one in ids], reasons, everything=everything)
        for name, ids in rows_named(by_id, names).items()
    }


def _one(
    source: EventSource,
    name: str,
    rows: Sequence[KeptRow],
    reasons: Collection[str],
    *,
    everything: bool,
) -> KeptRow:
    fitting = [row for row in rows if everything or row.state.is_open]
    if len(fitting) == 1:
        return fitting[0]
    hint = f"headrace quarantine list {source.name} --all lists them"
    if len(fitting) > 1:
        named = ", ".join(row.id for row in fitting[:_SHOWN])
        more = f" and {len(fitting) - _SHOWN} more" if len(fitting) > _SHOWN else ""
        raise ConfigurationError(f"{name!r} may be {named}{more}", hint="write more of its name")
    if rows:
        told = f"row {name} of {source.name} {_CLOSED[rows[0].state]}"
        raise ConfigurationError(told, hint=hint)
    told = f"no row {name!r} of {source.name}{having(reasons)} waits"
    raise ConfigurationError(told, hint=hint)
