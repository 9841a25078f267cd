"""What a setting is: where it is written, what its value may be, and what it means."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class SettingKind(StrEnum):
    """What a value is; also how it is written in an environment variable."""

    TEXT = "text"
    NAMES = "names"  # a list in the file, separated by commas in the environment
    PATH = "path"  # relative to the file's folder, or to the current one from the environment
    LOCATION = "path or URL"
    REDIS_URL = "URL of Redis"
    HTTP_URL = "URL of a server"  # or none
    OPTIONS = "options"  # a section in the file, a JSON object in the environment
    NUMBER = "number"  # a positive integer
    DURATION = "duration"  # an integer and a unit, such as 500ms, 10s, 5m, 1h, 7d


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. `default` is spelled as in the file, with `{base}` and `{home}` filled in.

    `required_in_file` means that a project's file can't do without it: the default is for the
    built-in project. `choices` and `pattern` limit the text, or each of the names; of options
    `choices` limits the names.
    """

    section: str | None
    key: str
    kind: SettingKind
    default: str
    meaning: str
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    required_in_file: bool = False

    @property
    def name(self) -> str:
        """How code and people call it: `engine.default`."""
        return self.key if self.section is None else f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides it: `HEADRACE_ENGINE_DEFAULT`."""
        return f"HEADRACE_{self.name.replace('.', '_').upper()}"

    @property
    def place(self) -> str:
        """Where it stands inside the file: `[engine] default`."""
        if self.section is None:
            return self.key
        if self.kind is SettingKind.OPTIONS:
            return f"[{self.name}]"
        return f"[{self.section}] {self.key}"
