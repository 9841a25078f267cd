"""What a request asks for: so many rows and features, all known, in the shape of Feast's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace_features.feast_plugin.server.decoding import decoded
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import ServingSettings

_TOO_LARGE = 413
_UNKNOWN = 404
_INVALID = 422
_TARGETS = ("online", "offline", "online_and_offline")


class Refusal(NamedTuple):
    """Why a request is not taken."""

    status: int
    detail: str


class _Reading(msgspec.Struct):
    """What is looked at of a request for features; the rest is Feast's, or nobody's."""

    entities: dict[str, Any] = {}
    features: list[str] = []
    feature_service: str | None = None


class _Pushing(msgspec.Struct):
    """What is looked at of rows that are pushed."""

    df: dict[str, Any] = {}
    to: str = "online"


class _Writing(msgspec.Struct):
    """What is looked at of rows that are written to a view."""

    df: dict[str, Any] = {}


# Each has the fields that Feast's model of that path has, in their types: Feast doesn't look at
# others, whatever they hold, and so they must not decide anything here.
_MODELS: Mapping[str, type[_Reading | _Pushing | _Writing]] = {
    "/get-online-features": _Reading,
    "/push": _Pushing,
    "/write-to-online-store": _Writing,
}


class Requests:
    """Judges requests before they reach Feast, which would call their mistakes its own."""

    def __init__(self, serving: ServingSettings, project: Project) -> None:
        self._serving = serving
        self._project = project
        self._declared: Mapping[str, Any] = {**project.views, **project.on_demand}
        self._decoders = {path: msgspec.json.Decoder(model) for path, model in _MODELS.items()}

    def refusal(self, path: str, body: bytes) -> Refusal | None:
        """Why a request is not taken; None if it goes on."""
        decoder = self._decoders.get(path)
        if decoder is None:
            return None
        try:
            asked = decoded(body, decoder)
        except msgspec.ValidationError as error:
            return Refusal(_INVALID, f"the request is not as expected: {error}")
        if asked is None:
            return None
        if isinstance(asked, _Reading):
            return self._rows("entities", asked.entities) or self._features(asked)
        found = self._rows("df", asked.df)
        if found is None and isinstance(asked, _Pushing) and asked.to not in _TARGETS:
            told = f"to is {asked.to!r}, expected one of: {', '.join(_TARGETS)}"
            found = Refusal(_INVALID, told)
        return found

    def _rows(self, what: str, columns: Mapping[str, Any]) -> Refusal | None:
        lengths = {}
        named: set[str] = set()
        for name, values in columns.items():
            # pandas writes a column as values by the name of their row, too, and has a row for
            # every name that any column has.
            if isinstance(values, dict):
                named.update(values)
            elif not isinstance(values, list):
                return Refusal(_INVALID, f"{what} has no list of values for {name}")
            lengths[name] = len(values)
        rows, most = max(len(named), *lengths.values(), 0), self._serving.max_rows
        if rows > most:
            told = f"{what} has {rows:,} rows, more than {most:,}"
            return Refusal(_TOO_LARGE, f"{told} (ask several times, or see [serving] max_rows)")
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            return Refusal(_INVALID, f"{what} has columns of different lengths: {told}")
        return None

    def _features(self, asked: _Reading) -> Refusal | None:
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
