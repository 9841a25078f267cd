"""All promises of a recording, view by view."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace_orchestration.parity.accounts import accounts_of, faults_of_dead_letters
from headrace_orchestration.parity.promises import Comparison
from headrace_orchestration.parity.sampling import Sample, sampled, wrong_rules
from headrace_orchestration.parity.states import state_of
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_orchestration.parity.findings import Finding
    from headrace_orchestration.parity.outcomes import Outcome
    from headrace_orchestration.parity.recording import Recording


@dataclass(frozen=True)
class Parity:
    """What the comparison has found.

    Attributes:
        modes: by epoch of the run, when events were absorbed.
        events: by source, how many records that keep to the contract were read.
        bad: by source, how many others.
        decided: by declaration, how many decisions.
        waiting: how many events wait for the watermark.
        duplicates: by declaration, how many events were left out as duplicates.
        gone: how many decisions can't be compared any more: their records were deleted.
        from_lake: whether the run began with what the lake had.
        findings: what is wrong with the accounts.
        outcomes: promise by promise, view by view.
        samples: what the oracle said, view by view.
    """

    modes: dict[int, str]
    events: dict[str, int]
    bad: dict[str, int]
    decided: dict[str, int]
    waiting: int
    duplicates: dict[str, int]
    gone: int
    from_lake: bool
    findings: tuple[Finding, ...]
    outcomes: tuple[Outcome, ...] = field(repr=False)
    samples: tuple[Sample, ...] = field(repr=False)

    @property
    def unexplained(self) -> int:
        """How many things nothing explains: rows, and faults of the accounts."""
        rows = sum(outcome.unexplained for outcome in self.outcomes)
        return rows + sum(sample.unlike for sample in self.samples) + len(self.findings)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every difference, one mapping for each row and feature."""
        for outcome in self.outcomes:
            yield from outcome.lines()
        for sample in self.samples:
            yield from map(dict, sample.lines)


def compare(
    recording: Recording, views: Collection[str], entities: int, told: Callable[[str], None]
) -> Parity:
    """Hold what a run emitted to batch and the oracle.

    Args:
        recording: the run.
        views: the names of the views that are compared.
        entities: of how many entities of each view the decisions are held to the oracle.
        told: is told what is going on.

    Raises:
        ConfigurationError: nothing was decided.
    """
    findings: list[Finding] = []
    outcomes: list[Outcome] = []
    samples: list[Sample] = []
    decided = {}
    duplicates = {}
    waiting = 0
    for source in recording.sources.values():
        findings.extend(faults_of_dead_letters(recording, source))
    for name, log in recording.decisions.items():
        told(f"accounts of {name}")
        accounts = accounts_of(recording, log)
        findings.extend(accounts.findings)
        decided[name] = len(accounts.log)
        duplicates[name] = accounts.duplicates
        waiting += accounts.waiting
        rows = np.empty(0, np.int64)
        for view in log.decisions.views:
            if view.name not in views:
                continue
            told(f"{name}: {view.name}")
            state = state_of(recording, accounts, log.decisions, view)
            findings.extend(state.findings)
            comparison = Comparison(state, accounts.log)
            outcomes.append(comparison.final_state())
            outcomes.extend(comparison.as_it_happened_and_no_skew())
            told(f"{name}: {view.name} by the oracle")
            samples.append(sampled(state, accounts.log, entities))
            rows = np.union1d(rows, samples[-1].picked)
        findings.extend(wrong_rules(log.decisions, accounts.log, rows))
    if not any(decided.values()):
        raise ConfigurationError(
            "no decision could be compared",
            hint="headrace stream status, headrace deadletters list",
        )
    return Parity(
        modes=dict(recording.modes),
        events={name: len(source.place) for name, source in recording.sources.items()},
        bad={name: len(source.bad) for name, source in recording.sources.items()},
        decided=decided,
        waiting=waiting,
        duplicates=duplicates,
        gone=sum(recording.gone.values()),
        from_lake=any(begin.history for begin in recording.begins.values()),
        # Two views of one source tell the same of it.
        findings=tuple(dict.fromkeys(findings)),
        outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.promise)),
        samples=tuple(samples),
    )
