"""Turns what is written in the file or the environment into the value of a setting."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.redis_address import parse_redis_url
from headrace_schemas.setting_kinds import Setting, SettingKind
from headrace_schemas.setting_table import EMBEDDED

_NUMBER = "a whole number from 1 to 999999"
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPELLED = {
    str: "text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "a section",
}


class Origin(msgspec.Struct, frozen=True):
    """Where a value was found: `source` for people, `folder` for relative paths.

    `user_home` stands for `~`, and `looked_up` lists all places in their order, for errors.
    """

    source: str
    folder: Path
    user_home: str
    looked_up: str

    def error(self, problem: str) -> ConfigurationError:
        """An error about the value, which names its source and the places looked up."""
        return ConfigurationError(f"{self.source} {problem}", hint=f"looked up: {self.looked_up}")


def from_environment(setting: Setting, text: str, origin: Origin) -> Any:
    """The value that an environment variable spells; its type is the setting's kind."""
    if setting.kind is not SettingKind.OPTIONS:
        return from_text(setting, text, origin)
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        # The text itself may be a secret: it is not shown.
        raise origin.error('is no JSON object, expected one such as {"name": "value"}')
    return _options(setting, found, origin)


def from_file(setting: Setting, found: object, origin: Origin) -> Any:
    """The value for what TOML holds; its type is the setting's kind."""
    if setting.kind is SettingKind.OPTIONS:
        if not isinstance(found, dict):
            raise origin.error(f"is {_kind_of(found)}, expected a section [{setting.name}]")
        return _options(setting, found, origin)
    if setting.kind is SettingKind.NAMES:
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise origin.error(f'is {_kind_of(found)}, expected a list of names such as ["a", "b"]')
        return _names(setting, found, origin)
    if setting.kind is SettingKind.NUMBER:
        if not isinstance(found, int) or isinstance(found, bool):
            raise origin.error(f"is {_kind_of(found)}, expected {_NUMBER}")
        found = str(found)
    if not isinstance(found, str):
        raise origin.error(f"is {_kind_of(found)}, expected text")
    return from_text(setting, found, origin)


def from_text(setting: Setting, text: str, origin: Origin) -> Any:
    """The value that a text spells, for every kind but options."""
    match setting.kind:
        case SettingKind.NAMES:
            return _names(setting, [name.strip() for name in text.split(",")], origin)
        case SettingKind.PATH:
            if "://" in text:
                raise origin.error(f"is {text!r}, expected a path of this machine, not a URL")
            return _path(text, origin)
        case SettingKind.LOCATION:
            return text if "://" in text else str(_path(text, origin))
        case SettingKind.NUMBER:
            if not re.fullmatch("[1-9][0-9]{0,5}", text):
                raise origin.error(f"is {text!r}, expected {_NUMBER}")
            return int(text)
        case SettingKind.DURATION:
            return _duration(text, origin)
        case _:
            _check(setting, text, origin)
            return text


def _names(setting: Setting, names: list[str], origin: Origin) -> tuple[str, ...]:
    if not names:
        raise origin.error("is empty, expected at least one name")
    for name in names:
        _check(setting, name, origin)
    return tuple(names)


def _check(setting: Setting, text: str, origin: Origin) -> None:
    if not text:
        raise origin.error(f"is empty, expected {setting.meaning}")
    if setting.choices and text not in setting.choices:
        raise origin.error(f"is {text!r}, expected one of: {', '.join(setting.choices)}")
    if setting.pattern and not re.fullmatch(setting.pattern, text):
        raise origin.error(f"is {text!r}, expected {setting.meaning}")
    if setting.kind is SettingKind.REDIS_URL:
        _check_redis_url(text, origin)
    if setting.kind is SettingKind.HTTP_URL:
        _check_http_url(setting, text, origin)


def _check_redis_url(text: str, origin: Origin) -> None:
    if text == EMBEDDED:
        return
    try:
        parse_redis_url(text)
    except ValueError as error:
        raise origin.error(f"{error}, or {EMBEDDED}") from error


def _check_http_url(setting: Setting, text: str, origin: Origin) -> None:
    if text == "none":
        return
    if "@" in text or "?" in text:
        raise origin.error(
            "has a user, a password or a query in the URL, where they would be shown: they belong"
            f" into [{setting.section}.options]"
        )
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise origin.error(f"is {text!r}, expected {setting.meaning}")


def _duration(text: str, origin: Origin) -> timedelta:
    spelled = _DURATION.fullmatch(text)
    if spelled is None or not int(spelled[1]):
        raise origin.error(f"is {text!r}, expected a duration such as 500ms, 10s, 5m, 1h or 7d")
    return timedelta(milliseconds=int(spelled[1]) * _UNITS_MS[spelled[2]])


def _path(text: str, origin: Origin) -> Path:
    if not text:
        raise origin.error("is empty, expected a path")
    if text == "~" or text.startswith("~/"):
        if not origin.user_home:
            raise origin.error(f"is {text!r}, but there is no HOME to put in the place of ~")
        text = origin.user_home + text[1:]
    return origin.folder / text


def _options(setting: Setting, found: dict[str, Any], origin: Origin) -> dict[str, str]:
    options = _flat(found, origin)
    for name in options:
        if setting.choices and name not in setting.choices:
            unknown = ConfigurationError.unknown("option", name, setting.choices)
            raise origin.error(f"has an {unknown}")
    return options


def _flat(found: dict[str, Any], origin: Origin, prefix: str = "") -> dict[str, str]:
    """Options by their full name: TOML reads `spark.ui.enabled = false` as nested sections."""
    flat: dict[str, str] = {}
    for key, value in found.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flat(value, origin, f"{name}.")
        elif isinstance(value, bool):
            flat[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            flat[name] = str(value)
        else:
            raise origin.error(f"{name} is {_kind_of(value)}, expected text")
    return flat


def _kind_of(found: object) -> str:
    return _SPELLED.get(type(found), f"a {type(found).__name__}")
