"""Shards as zstd has them."""

from __future__ import annotations

from types import ModuleType

from headrace_schemas.errors import ConfigurationError
from headrace_shards.errors import DamagedShardError


def compressed(content: bytes, level: int = 3) -> bytes:
    """A frame of zstd that says how large its content is."""
    return bytes(_zstandard().ZstdCompressor(level=level).compress(content))


def decompressed(name: str, content: bytes, size: int) -> bytes:
    """The content of a frame.

    Args:
        name: of the file, for errors.
        content: the frame.
        size: how large its content is by the manifest.

    Raises:
        DamagedShardError: it is none, or of another size.
    """
    zstandard = _zstandard()
    try:
        found = bytes(zstandard.ZstdDecompressor().decompress(content, max_output_size=size))
    except zstandard.ZstdError as error:
        raise DamagedShardError(name, str(error)) from error
    if len(found) != size:
        raise DamagedShardError(name, f"it holds {len(found):,} bytes, expected {size:,}")
    return found


def _zstandard() -> ModuleType:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "compressed shards need the package zstandard", hint="pip install 'headrace[training]'"
        ) from error
    module: ModuleType = zstandard
    return module
