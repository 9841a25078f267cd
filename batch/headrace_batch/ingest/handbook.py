"""The published format of the Fraud Detection Handbook: transactions with their labels.

Customers are taken as cards, amounts become minor units, and each row also gives a label that
is reported seven days after the transaction.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.ingest.casting import Cast, cast, is_castable
from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.feeds import Feed, Origin
from headrace_features.definitions.sources import EventSource
from headrace_features.project import Project
from headrace_schemas.columns import Column, ColumnType
from headrace_schemas.errors import UnsupportedError
from headrace_schemas.events import Transaction, TransactionLabel
from headrace_schemas.reasons import Reason

#: How long after a transaction its label is known.
REPORTED_AFTER_MS = 7 * 86_400_000

_MINOR_PER_MAJOR = 100
# How far a double may be from a whole minor unit; large ones as far as their binary digits reach.
_TOLERANCE_MINOR = 1e-6
_AMOUNT = Column("TX_AMOUNT", ColumnType.FLOAT64)


def handbook_feeds(project: Project) -> tuple[Feed, ...]:
    """The feeds of a file in this format: the project's transactions and their labels.

    Raises UnsupportedError where the project has no source of these two events.
    """
    keys = {
        "transaction_id": Origin("TRANSACTION_ID"),
        "card_id": Origin("CUSTOMER_ID"),
        "terminal_id": Origin("TERMINAL_ID"),
        "event_time": Origin("TX_DATETIME"),
    }
    amount = Origin("TX_AMOUNT", _minor_units, _is_amount)
    label = {"is_fraud": Origin("TX_FRAUD"), "reported_at": Origin("TX_DATETIME", _reported_at)}
    return (
        Feed(contract_of(_source_of(project, Transaction)), keys | {"amount_minor": amount}),
        Feed(contract_of(_source_of(project, TransactionLabel)), keys | label),
    )


def _source_of(project: Project, schema: type) -> EventSource:
    found = [source for source in project.sources.values() if source.schema is schema]
    if len(found) != 1:
        raise UnsupportedError(
            f"--format handbook needs one source of {schema.__name__}, and the project"
            f" {project.name} has {len(found)}",
            hint="it feeds headrace_schemas.events.Transaction and TransactionLabel",
        )
    return found[0]


def _is_amount(kind: pa.DataType, _: Column) -> bool:
    return is_castable(kind, _AMOUNT)


def _minor_units(amounts: pa.Array, _: Column) -> Cast:
    """Amounts in the currency's major unit as whole minor units."""
    major = cast(amounts, _AMOUNT)
    known = np.asarray(pc.is_valid(major.values).to_numpy(zero_copy_only=False), np.bool_)
    exact = major.values.fill_null(0.0).to_numpy() * _MINOR_PER_MAJOR
    with np.errstate(invalid="ignore"):
        tolerance = np.maximum(_TOLERANCE_MINOR, np.spacing(np.abs(exact)))
        whole = np.abs(exact - np.rint(exact)) <= tolerance
    fits = np.abs(exact) < 2.0**63
    minor = np.where(whole & fits, np.rint(exact), 0.0).astype(np.int64)
    refused = [
        *major.refused,
        (Reason.WRONG_TYPE, known & ~whole),
        (Reason.INTEGER_OVERFLOW, known & whole & ~fits),
    ]
    return Cast(
        pa.array(minor, mask=~(known & whole & fits)),
        tuple((reason, rows) for reason, rows in refused if rows.any()),
    )


def _reported_at(times: pa.Array, column: Column) -> Cast:
    at = cast(times, column)
    return Cast(pc.add(at.values, REPORTED_AFTER_MS), at.refused)
