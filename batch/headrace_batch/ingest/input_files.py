"""Finds the files of an ingest and says how each is read and what identifies its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from types import MappingProxyType

import pyarrow as pa
import pyarrow.fs as pa_fs

from headrace_batch.first_line import first_line
from headrace_batch.locations import located, url_of
from headrace_schemas.errors import ConfigurationError, UnsupportedError

_BLOCK_BYTES = 4 << 20
_WILD = frozenset("*?[")
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


class FileKind(StrEnum):
    """How a file is encoded."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON_LINES = "jsonl"


HANDBOOK = "handbook"
#: What `--format` may say; without it the suffix of each file decides.
FORMATS = (*(kind.value for kind in FileKind), HANDBOOK)

_KINDS = {
    ".parquet": FileKind.PARQUET,
    ".csv": FileKind.CSV,
    ".jsonl": FileKind.JSON_LINES,
    ".ndjson": FileKind.JSON_LINES,
}


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to ingest: an absolute path or a URL, its encoding, and access to an object store."""

    url: str
    kind: FileKind
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def open(self) -> pa.NativeFile:
        """The file, to be read at random."""
        files, path = located(self.url, self.storage_options)
        return files.open_input_file(path)

    def content_hash(self) -> str:
        """SHA-256 of the bytes, in hexadecimal digits."""
        digest = hashlib.sha256()
        with explaining(self.url), self.open() as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()


def find_files(
    place: str, file_format: str | None, storage_options: Mapping[str, str] = _NO_OPTIONS
) -> tuple[InputFile, ...]:
    """The files at a place, sorted by name: one file, a folder with all below it, or a glob.

    Names that begin with a dot or an underscore, as engines give to their own files, are left
    out of folders and globs; so is what is no data file by its suffix.

    Args:
        place: a path of this machine, or a URL.
        file_format: one of `FORMATS`; by the suffix of each file if None.
        storage_options: access to an object store, as the warehouse has it.

    Raises:
        ConfigurationError: there is nothing there, or it can't be read.
        UnsupportedError: a format or a suffix that is not read here.
    """
    found = files_at(place, file_format, storage_options)
    if found:
        return found
    with explaining(place):
        files, path = located(place, storage_options)
        is_file = files.get_file_info(path).type == pa_fs.FileType.NotFound
    if is_file and not _WILD & set(place):
        raise ConfigurationError(
            f"there is no file {place}", hint="give a file, a folder or a quoted glob"
        )
    raise ConfigurationError(
        f"there is no data file in {place}",
        hint=f"files end in {', '.join(_suffixes(file_format))}",
    )


def files_at(
    place: str, file_format: str | None = None, storage_options: Mapping[str, str] = _NO_OPTIONS
) -> tuple[InputFile, ...]:
    """The same, none where nothing is there.

    Raises:
        ConfigurationError: it can't be read.
        UnsupportedError: a format or a suffix that is not read here.
    """
    if file_format is not None and file_format not in FORMATS:
        raise UnsupportedError.among(f"--format {file_format}", FORMATS)
    with explaining(place):
        files, path = located(place, storage_options)
        found = files.get_file_info(path)
        if found.type == pa_fs.FileType.File:
            return (InputFile(url_of(place, path), _kind(path, file_format), storage_options),)
        below: list[str] = []
        if found.type == pa_fs.FileType.Directory:
            below = _below(files, path)
        elif _WILD & set(place):
            below = [one for one in _below(files, _fixed_part(path)) if _matches(one, path)]
    return tuple(
        InputFile(url_of(place, one), _kind(one, file_format), storage_options)
        for one in sorted(below)
        if PurePosixPath(one).suffix.lower() in _suffixes(file_format)
    )


@contextmanager
def explaining(url: str) -> Iterator[None]:
    """Turn what reading raises inside the block into one line on this file."""
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no file {url}") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{url} can't be read: {first_line(error)}",
            hint="is it complete, and of the format given?",
        ) from error


def _below(files: pa_fs.FileSystem, folder: str) -> list[str]:
    """All files below a folder, without what is hidden."""
    if files.get_file_info(f"{folder}/_delta_log").type == pa_fs.FileType.Directory:
        raise UnsupportedError(
            f"{folder} is a Delta table: its folder also holds files that it no longer counts",
            hint="export the table to files and ingest those",
        )
    selector = pa_fs.FileSelector(folder, allow_not_found=True, recursive=True)
    return [
        found.path
        for found in files.get_file_info(selector)
        if found.type == pa_fs.FileType.File
        and not any(
            part.startswith((".", "_"))
            for part in PurePosixPath(found.path).relative_to(folder).parts
        )
    ]


def _fixed_part(path: str) -> str:
    """The deepest folder of a glob that holds no wildcard."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts[:-1]:
        if _WILD & set(part):
            break
        parts.append(part)
    return str(PurePosixPath(*parts))


def _matches(path: str, glob: str) -> bool:
    """Whether a path fits a glob, in which a wildcard stays within one name and ** does not."""
    return _parts_match(PurePosixPath(path).parts, PurePosixPath(glob).parts)


def _parts_match(parts: Sequence[str], globs: Sequence[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_parts_match(parts[n:], globs[1:]) for n in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], globs[0]) and _parts_match(parts[1:], globs[1:])


def _suffixes(file_format: str | None) -> list[str]:
    """The suffixes of files that a format is read from."""
    if file_format is None:
        return list(_KINDS)
    if file_format == HANDBOOK:
        return [".parquet", ".csv"]
    return [suffix for suffix, kind in _KINDS.items() if kind == file_format]


def _kind(path: str, file_format: str | None) -> FileKind:
    if file_format is not None and file_format != HANDBOOK:
        return FileKind(file_format)
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in _suffixes(file_format):
        raise UnsupportedError.among(
            f"the suffix {suffix!r} of {path}",
            _suffixes(file_format),
            hint="name the format with --format" if file_format is None else None,
        )
    return _KINDS[suffix]
