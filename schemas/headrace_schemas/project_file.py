"""Finds `headrace.toml` and reads it into raw values by setting name."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import FILE_NAME, SETTINGS

if TYPE_CHECKING:
    from pathlib import Path


def find_file(start: Path) -> Path | None:
    """The nearest `headrace.toml` in `start` or a folder above; None when there is none."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).exists():
            return candidate / FILE_NAME
    return None


def read_toml(path: Path) -> dict[str, Any]:
    """What the file says, whether or not there are such settings.

    Raises ConfigurationError for a file that can't be read or is no TOML (with the line).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from None


def read_file(path: Path) -> dict[str, Any]:
    """The values in the file by setting name (`engine.default`), untouched.

    Raises ConfigurationError for a file that can't be read, is no TOML (with the line), or
    holds a section or a key that no setting has.
    """
    found = read_toml(path)
    sections = {setting.section for setting in SETTINGS if setting.section is not None}
    tops = {setting.key for setting in SETTINGS if setting.section is None}
    values: dict[str, Any] = {}
    for key, value in found.items():
        if key in tops:
            values[key] = value
        elif key not in sections:
            raise ConfigurationError.unknown(f"section or key of {path}:", key, sections | tops)
        elif not isinstance(value, dict):
            raise ConfigurationError(
                f"{path} {key} is a value, expected a section", hint=f"write [{key}]"
            )
        else:
            values |= _section(path, key, value)
    return values


def _section(path: Path, section: str, found: dict[str, Any]) -> dict[str, Any]:
    known = [setting.key for setting in SETTINGS if setting.section == section]
    for key in found:
        if key not in known:
            raise ConfigurationError.unknown(f"key in [{section}] of {path}:", key, known)
    return {f"{section}.{key}": value for key, value in found.items()}
