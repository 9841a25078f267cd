"""Feast without the checks of types that it compiles into its classes at every start."""

from __future__ import annotations

import sys
from typing import Any

import typeguard


def leave_out_type_checks() -> None:
    """Have Feast's classes imported as they are written, as `python -O` does.

    Feast marks about twenty classes with ``typeguard.typechecked``, which compiles each of their
    methods anew when they are imported: two thirds of the time that importing Feast takes. What
    others mark is checked as before, and so is all of Feast where it has been imported already.
    """
    if "feast" in sys.modules:
        return
    checked = typeguard.typechecked

    def typechecked(target: Any = None, **options: Any) -> Any:
        if isinstance(target, type) and target.__module__.startswith("feast."):
            return target
        return checked(target, **options)

    typeguard.typechecked = typechecked
