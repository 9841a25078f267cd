"""What is done when a run is late."""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)


def tell(run: str, after: str, **context: object) -> None:
    """Log that a run hasn't ended in time; Airflow shows it beside the run as well."""
    del context
    _LOG.error(
        "%s takes %s longer than it usually does: see the tasks that are being retried", run, after
    )
