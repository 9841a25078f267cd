"""What a request asks for: so many rows and features, all known, in the shape of Feast's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import ServingSettings

_READ = "/get-online-features"
_TOO_LARGE = 413
_UNKNOWN = 404
_INVALID = 422
_TARGETS = ("online", "offline", "online_and_offline")


class Refusal(NamedTuple):
    """Why a request is not taken."""

    status: int
    detail: str


class _Asked(msgspec.Struct):
    """What is looked at of a request; the rest is Feast's."""

    entities: dict[str, Any] = {}
    df: dict[str, Any] = {}
    features: list[str] = []
    feature_service: str | None = None
    to: str = "online"


class Requests:
    """Judges requests before they reach Feast, which would call their mistakes its own."""

    def __init__(self, serving: ServingSettings, project: Project) -> None:
        self._serving = serving
        self._project = project
        self._declared: Mapping[str, Any] = {**project.views, **project.on_demand}
        self._decoder = msgspec.json.Decoder(_Asked)

    def refusal(self, path: str, body: bytes) -> Refusal | None:
        """Why a request is not taken; None if it goes on, as one does that Feast will refuse."""
        try:
            asked = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        found = self._rows("entities", asked.entities) or self._rows("df", asked.df)
        if found is None and path == _READ:
            found = self._features(asked)
        if found is None and asked.to not in _TARGETS:
            told = f"to is {asked.to!r}, expected one of: {', '.join(_TARGETS)}"
            found = Refusal(_INVALID, told)
        return found

    def _rows(self, what: str, columns: Mapping[str, Any]) -> Refusal | None:
        lengths = {}
        for name, values in columns.items():
            # pandas writes a column as values by the name of their row, too.
            if not isinstance(values, list | dict):
                return Refusal(_INVALID, f"{what} has no list of values for {name}")
            lengths[name] = len(values)
        rows, most = max(lengths.values(), default=0), self._serving.max_rows
        if rows > most:
            told = f"{what} has {rows:,} rows, more than {most:,}"
            return Refusal(_TOO_LARGE, f"{told} (ask several times, or see [serving] max_rows)")
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            return Refusal(_INVALID, f"{what} has columns of different lengths: {told}")
        return None

    def _features(self, asked: _Asked) -> Refusal | None:
        number, most = len(asked.features), self._serving.max_features
        if not number and asked.feature_service is None:
            services = ", ".join(self._project.services) or "none is declared"
            told = f"no features are asked for (give features or a feature_service: {services})"
            return Refusal(_INVALID, told)
        if number > most:
            told = f"{number:,} features are asked for, more than {most:,}"
            return Refusal(_TOO_LARGE, f"{told} (ask several times, or see [serving] max_features)")
        for reference in asked.features:
            view, colon, feature = reference.partition(":")
            if not colon:
                told = f"{reference!r} names no feature, expected view:feature"
                return Refusal(_INVALID, told)
            declared = self._declared.get(view)
            if declared is not None:
                try:
                    declared.feature(feature)
                except ConfigurationError as error:
                    return Refusal(_UNKNOWN, str(error))
        return None
