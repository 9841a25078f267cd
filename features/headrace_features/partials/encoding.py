"""How state is written down: msgpack that begins with the version of its layout."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_schemas.errors import UnsupportedError

#: First number of everything encoded; raised when the layout of tiles or raw events changes.
ENCODING_VERSION = 3

_DECODER = msgspec.msgpack.Decoder(tuple[int, Any])


def pack(content: Any) -> bytes:
    """Some content and the version of this release."""
    return msgspec.msgpack.encode((ENCODING_VERSION, content))


def unpack(data: bytes) -> Any:
    """What was packed.

    Raises:
        UnsupportedError: it was written in another version of the layout.
    """
    version, content = _DECODER.decode(data)
    if version != ENCODING_VERSION:
        message = f"state is encoded in version {version}, this release reads {ENCODING_VERSION}"
        raise UnsupportedError(message, hint="run: headrace online rebuild")
    return content
