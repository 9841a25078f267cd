"""Writes the JSON Schema of each contract, and refuses a change that would break someone.

Run as `python -m headrace_schemas.json_schema --write FOLDER` or `--check FOLDER`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_schemas.columns import ColumnRole, ColumnType, columns_of
from headrace_schemas.compatibility import check, read_schema
from headrace_schemas.errors import ConfigurationError, HeadraceError
from headrace_schemas.events import Transaction, TransactionLabel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONTRACTS: tuple[type[msgspec.Struct], ...] = (Transaction, TransactionLabel)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document(schema: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a contract, flat, with what JSON Schema itself has no word for.

    Integers carry `format: int64`; times carry `x-headrace-role: time_ms`, which means that a
    reader also refuses what is no plausible time in milliseconds.
    """
    columns = columns_of(schema)
    _, components = msgspec.json.schema_components([schema])
    body = components[schema.__name__]
    for column in columns:
        prop = body["properties"][column.name]
        if column.type is ColumnType.INT64:
            _non_null(prop)["format"] = "int64"
        if column.role is ColumnRole.TIME_MS:
            prop["x-headrace-role"] = column.role.value
    return {"$schema": DIALECT, **body}


def rendered(schema: type[msgspec.Struct]) -> str:
    """The document as the text of its file."""
    return json.dumps(document(schema), indent=2, ensure_ascii=False) + "\n"


def schema_version(schema: type[msgspec.Struct]) -> str:
    """What tells a contract from what it was before: twelve digits of its document's SHA-256."""
    return hashlib.sha256(rendered(schema).encode()).hexdigest()[:12]


def write(folder: Path, contracts: Iterable[type[msgspec.Struct]] = CONTRACTS) -> list[Path]:
    """Writes one file for each contract; returns the files that changed.

    Raises ConfigurationError, and writes nothing, where a contract is incompatible with the
    file that is there.
    """
    texts = {folder / f"{contract.__name__}.json": rendered(contract) for contract in contracts}
    changed = {path: text for path, text in texts.items() if _text_of(path) != text}
    for path, text in changed.items():
        if path.exists() and (problems := check(read_schema(path), json.loads(text))):
            listed = "; ".join(str(problem) for problem in problems)
            raise ConfigurationError(
                f"{path.stem} is not compatible with {path}: {listed}",
                hint="undo the change, or declare a new contract beside the old one",
            )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")
    return list(changed)


def differences(folder: Path, contracts: Iterable[type[msgspec.Struct]] = CONTRACTS) -> list[str]:
    """One line for each file that is missing, differs from its contract, or belongs to none."""
    texts = {folder / f"{contract.__name__}.json": rendered(contract) for contract in contracts}
    lines = [f"{path} is missing" for path in texts if not path.is_file()]
    lines += [
        f"{path} differs from its contract"
        for path, text in texts.items()
        if path.is_file() and _text_of(path) != text
    ]
    lines += [
        f"{path} belongs to no contract"
        for path in sorted(folder.glob("*.json"))
        if path not in texts
    ]
    return lines


def _non_null(prop: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any]
    for found in prop.get("anyOf", [prop]):
        if found.get("type") != "null":
            return found
    return prop


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status, which is not 0 where files differ."""
    parser = argparse.ArgumentParser(prog="python -m headrace_schemas.json_schema")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", metavar="FOLDER", type=Path)
    action.add_argument("--check", metavar="FOLDER", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.check is not None:
        lines = differences(chosen.check)
        if lines:
            lines.append("run `make schemas` and commit the result")
        sys.stderr.writelines(f"{line}\n" for line in lines)
        return 1 if lines else 0
    try:
        changed = write(chosen.write)
    except HeadraceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.writelines(f"wrote {path}\n" for path in changed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
