"""Requests over HTTP on a schedule, whether earlier ones were answered or not."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from headrace_orchestration.benchmarks.latency import Schedule, percentile

_HOST = "127.0.0.1"
_CONNECTIONS = 32
_HEAD_START_NS = 50_000_000
#: What is so late is given up: the server doesn't keep up.
_GIVEN_UP_NS = 1_000_000_000
_STEP = 1.5
_MOST_STEPS = 12
_HALVINGS = 3


@dataclass(frozen=True, slots=True)
class Held:
    """How a server did at a rate; milliseconds from when a request was due to its answer.

    The rate is 0 where a server held none, not even the one of which the times are.
    """

    rate: float
    p50_ms: float
    p99_ms: float


def request(path: str, body: bytes) -> bytes:
    """A request by POST, as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {_HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def measure(port: int, made: Callable[[], bytes], rate: float, seconds: float) -> Held:
    """Send requests at a rate for some time.

    Args:
        port: of the server.
        made: makes a request.
        rate: requests a second.
        seconds: how long; a quarter more at the beginning isn't counted.

    Raises:
        ValueError: the server answers with an error.
    """
    settling = math.ceil(rate * seconds / 4)
    requests = [made() for _ in range(settling + math.ceil(rate * seconds))]
    took = sorted(asyncio.run(_Loop(port, requests, rate).run())[settling:])
    return Held(rate, percentile(took, 0.5), percentile(took, 0.99))


def highest(at: Callable[[float], Held], first: float, most_ms: float) -> Held:
    """The highest rate that was seen to have a p99 within a limit, beginning with a low one.

    The rate rises by half until one doesn't hold, then the step is halved. Where the first doesn't
    hold none does.
    """

    def best(rate: float) -> Held:
        one = at(rate)
        # What else the machine does may have held one up.
        return one if one.p99_ms <= most_ms else min(one, at(rate), key=lambda held: held.p99_ms)

    held, failed = best(first), math.inf
    if held.p99_ms > most_ms:
        return replace(held, rate=0.0)
    for _ in range(_MOST_STEPS):
        one = best(held.rate * _STEP)
        if one.p99_ms > most_ms:
            failed = one.rate
            break
        held = one
    for _ in range(_HALVINGS):
        one = best((held.rate + failed) / 2)
        held, failed = (one, failed) if one.p99_ms <= most_ms else (held, one.rate)
    return held


class _Loop:
    """Requests that some connections take as they become due."""

    def __init__(self, port: int, requests: list[bytes], rate: float) -> None:
        self._port = port
        self._requests = requests
        self._schedule = Schedule(time.monotonic_ns() + _HEAD_START_NS, rate)
        self._next = 0
        self._took_ms = [math.inf] * len(requests)

    async def run(self) -> list[float]:
        """Milliseconds of each request; what was given up took for ever."""
        await asyncio.gather(*(self._connection() for _ in range(_CONNECTIONS)))
        return self._took_ms

    async def _connection(self) -> None:
        """Take the next request while there are some; after a broken connection over another."""
        while self._next < len(self._requests):
            reader, writer = await asyncio.open_connection(_HOST, self._port)
            try:
                while self._next < len(self._requests):
                    await self._send_next(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                continue
            finally:
                writer.close()

    async def _send_next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self._next
        self._next += 1
        due_ns = self._schedule.due_ns(number)
        early_ns = due_ns - time.monotonic_ns()
        if early_ns < -_GIVEN_UP_NS:
            return
        await asyncio.sleep(max(early_ns, 0) / 1e9)
        writer.write(self._requests[number])
        await _answer(reader)
        self._took_ms[number] = (time.monotonic_ns() - due_ns) / 1e6


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read an answer whole.

    Raises:
        ValueError: it is an error.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line for line in head.splitlines() if line.startswith("content-length:"))
    body = await reader.readexactly(int(length.partition(":")[2]))
    if " 200 " not in head.partition("\r\n")[0]:
        raise ValueError(f"the server answers: {body.decode()}")
