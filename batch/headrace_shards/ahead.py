"""Work that threads do ahead of need, whose results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ResultT = TypeVar("ResultT")


def ahead(jobs: Iterable[Callable[[], ResultT]], depth: int, threads: int) -> Iterator[ResultT]:
    """The results of jobs, in their order.

    Args:
        jobs: are begun in order.
        depth: how many are begun that nobody has asked for yet; 0 does each when it is asked for.
        threads: that do them.

    The error of a job is raised in its place. Left early, what was begun is waited for.
    """
    if not depth:
        for job in jobs:
            yield job()
        return
    left = iter(jobs)
    begun: deque[Future[ResultT]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="headrace-shards") as pool:
        try:
            for job in left:
                begun.append(pool.submit(job))
                if len(begun) > depth:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for one in begun:
                one.cancel()
