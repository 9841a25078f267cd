"""What redis-py's errors mean to somebody who can do something about them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    SlotNotCoveredError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from headrace_features.online.redis_access import RedisAccess
from headrace_features.online.redis_eviction import EvictingError
from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError

#: The errors of Redis and the way to it, not those of its caller.
TOLD = (
    RedisConnectionError,
    RedisTimeoutError,
    ResponseError,
    InvalidResponse,
    ClusterError,
    RedisClusterException,
)

_OPTIONS = "[online.redis_options]"
_SHOWN = 200
_CAUSE = " of pipeline caused error: "
_LOCKED_OUT = (
    AuthenticationError,
    AuthorizationError,
    AuthenticationWrongNumberOfArgsError,
    NoPermissionError,
)
#: A connection that ends in the middle of a handshake is no wrong certificate.
_BROKEN_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_PASSING = (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    SlotNotCoveredError,
    TryAgainError,
)


def told(error: Exception, access: RedisAccess) -> HeadraceError:
    """The error to raise in place of one of `TOLD`; its message holds no secret."""
    chain = tuple(_chain(error))
    where = f"Redis at {access.address}"
    refused = _first(chain, ssl.SSLError)
    if refused is not None and not isinstance(refused, _BROKEN_OFF):
        return ConfigurationError(
            f"there is no TLS with {where}: {_said(refused, access)}",
            hint=f"see the ssl_ names of {_OPTIONS}; only a URL with rediss:// means TLS",
        )
    if _first(chain, InvalidResponse) is not None:
        return ConfigurationError(
            f"what listens at {access.address} is no Redis: it answers in another way",
            hint="see [online] redis_url",
        )
    if refused := _first(chain, *_LOCKED_OUT):
        return ConfigurationError(
            f"{where} lets nobody in so: {_said(refused, access)}",
            hint=f"see username and password of {_OPTIONS}",
        )
    if passing := _first(chain, *_PASSING):
        return RetryableError(
            f"{where} can't answer now: {_said(passing, access)}", hint="try again shortly"
        )
    if answer := _first(chain, ResponseError):
        return _answered(answer, access, where)
    return _unreached(chain, access, where)


def _answered(answer: BaseException, access: RedisAccess, where: str) -> HeadraceError:
    said = _said(answer, access)
    if isinstance(answer, EvictingError):
        # Whoever waits for it goes on once that is mended.
        return RetryableError(
            f"{where} drops entities when its memory is full, which would then read as ones"
            f" without events: its maxmemory-policy is {said}",
            hint="set maxmemory-policy noeviction, then: headrace online rebuild",
        )
    if said.startswith(("MOVED ", "ASK ")):
        return ConfigurationError(
            f"{where} is one node of a cluster", hint="see [online] redis_url: redis+cluster://"
        )
    if "cluster support disabled" in said:
        return ConfigurationError(
            f"{where} is no cluster", hint="see [online] redis_url: redis:// or rediss://"
        )
    if said.startswith("MISCONF"):
        return RetryableError(f"{where} takes no changes: {said}", hint="is its disk full?")
    return ConfigurationError(f"{where} refuses: {said}", hint="see [online] redis_url")


def _unreached(chain: tuple[BaseException, ...], access: RedisAccess, where: str) -> HeadraceError:
    if any(str(one).startswith("No connection available") for one in chain):
        return RetryableError(
            f"all {access.pool} connections to {where} are in use", hint="see [online] pool"
        )
    if access.embedded:
        hint = "headrace status, headrace up"
    elif access.address.tls:
        hint = f"see [online] redis_url; does it speak TLS, and want ssl_certfile of {_OPTIONS}?"
    else:
        hint = "see [online] redis_url; with TLS it begins with rediss://"
    if _first(chain, RedisTimeoutError):
        waited = f"{access.timeout_s * 1000:.0f} ms"
        return RetryableError(f"{where} did not answer within {waited}", hint=hint)
    system = next((one for one in chain if isinstance(one, OSError)), None)
    if isinstance(system, ConnectionError) and system.errno:
        # asyncio puts words of its own in the place of the system's.
        cause = os.strerror(system.errno)
    else:
        cause = (system and system.strerror) or _said(chain[-1], access)
    return RetryableError(f"{where} does not answer: {cause}", hint=hint)


def unformed(access: RedisAccess) -> RetryableError:
    """The error for a cluster in which no node has any part of the keys."""
    return RetryableError(
        f"the nodes at {access.address} make no cluster yet",
        hint="one is made by: redis-cli --cluster create",
    )


def _first(chain: tuple[BaseException, ...], *kinds: type[BaseException]) -> BaseException | None:
    return next((one for one in chain if isinstance(one, kinds)), None)


def _said(error: BaseException, access: RedisAccess) -> str:
    text = " ".join(str(error).split())
    if text.startswith("Command # "):
        # What a pipeline says first is the command, with all that was to be kept.
        text = text.rpartition(_CAUSE)[2]
    if access.secret:
        # A server that doesn't know a command quotes what came with it.
        text = text.replace(access.secret, "***")
    return text[:_SHOWN] or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
