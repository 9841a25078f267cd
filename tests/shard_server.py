"""A remote store of shards: a folder over HTTP, which fails and waits as it is told to."""

from __future__ import annotations

import fcntl
import threading
from collections import Counter
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any


class Server(ThreadingHTTPServer):
    """Serves a folder.

    `refused` requests get an error, those of a name in `refused_of` as often as it says; `cut` ones
    for shards half of their content. Those for a name in `held` wait until `free` is set.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.refused = 0
        self.refused_of: Counter[str] = Counter()
        self.cut = 0
        self.held: set[str] = set()
        self.free = threading.Event()
        self.got: list[str] = []
        self.shards: SimpleQueue[str] = SimpleQueue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_shards(self, count: int) -> set[str]:
        """The names of shards that are asked for from now on, once there are so many."""
        return {self.shards.get(timeout=60) for _ in range(count)}


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.got.append(self.path)
        if name.endswith(".mds"):
            self.server.shards.put(name)
        if name in self.server.held:
            self.server.free.wait(60)
        if self.server.refused:
            self.server.refused -= 1
            self.send_error(503)
        elif self.server.refused_of[name]:
            self.server.refused_of[name] -= 1
            self.send_error(503)
        elif self.server.cut and self.path.endswith(".mds"):
            self.server.cut -= 1
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        del format, args


def bytes_in(cache: Path) -> int:
    """How many bytes of shards a folder has, or has room for, while others fetch into it."""
    sizes = {}
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in cache.iterdir():
            # Whole ones get another name.
            with suppress(FileNotFoundError):
                sizes[path.name.partition(".")[0]] = path.stat().st_size
    return sum(sizes.values())
