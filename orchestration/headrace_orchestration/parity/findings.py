"""What is wrong with the accounts of a run: events lost, counted twice, or out of sequence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What kind of thing is wrong."""

    #: A record that keeps to the contract has neither a decision nor an entry in a ledger.
    MISSING = "missing decision"
    #: One record has several decisions.
    DOUBLED = "doubled decision"
    #: A decision on a record that is not there, is bad, or is another than the decision says.
    FORGED = "decision of no such record"
    #: A record was left out as a duplicate, but no other one of its key was taken.
    LOST = "duplicate of nothing"
    #: A record that breaks the contract is not among the dead letters.
    NO_DEAD_LETTER = "missing dead letter"
    #: A record that keeps to the contract is among the dead letters.
    GOOD_DEAD_LETTER = "dead letter without reason"
    #: The numbers of an entity's states are not 1, 2, 3, … with each event once.
    SEQUENCE = "broken sequence"
    #: The rules that fired are others than the values say.
    RULES = "wrong rules"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        fault: what kind of thing.
        where: the decisions or the source, and the view if it is about one.
        event: the dedup key of the event, or the record where there is no event.
        told: what was found and expected.
    """

    fault: Fault
    where: str
    event: str
    told: str
