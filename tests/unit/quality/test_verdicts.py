from __future__ import annotations

from datetime import date

import pytest

from headrace_batch.quality.measures import Measure
from headrace_batch.quality.verdicts import Verdict

MEASURE = Measure("volume", 3.0, 0.5, 2.0, "times", "the mean of the last days")


def failed(of: str, table: str) -> str:
    verdict = Verdict(
        of=of,
        table=table,
        day=date(2018, 4, 4),
        rows=60,
        content="",
        declared="",
        measures=(MEASURE,),
        kept=(False,),
        accepted="",
        judged_ms=0,
        docs=None,
    )
    return str(verdict.failure())


@pytest.mark.parametrize("table", ["bronze.payments", "shop.payments"])
def test_a_failed_day_of_events_says_how_wrong_rows_go(table: str) -> None:
    assert failed("payments", table).endswith(
        "(mend the data (wrong rows go first: headrace quarantine day payments --date 2018-04-04)"
        " and run it again, or let it pass: headrace validate payments --date 2018-04-04 --accept"
        " REASON)"
    )


@pytest.mark.parametrize("table", ["features.spent_v1", "training.fraud"])
def test_a_failed_day_of_what_is_made_of_events_names_no_rows_to_take_out(table: str) -> None:
    assert "(mend the data and run it again, or let it pass:" in failed("spent", table)
