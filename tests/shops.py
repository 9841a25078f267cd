"""A project of `headrace init`, another version of its view, and what is kept of both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from headrace_features.feast_plugin import repository
from headrace_schemas.settings import Settings, load
from streams import headrace

USER = "user-001"
#: Features that both versions have.
COMMON = ["user_activity:count_7d", "user_activity:count_1d", "user_purchases:count_7d"]
#: In which features the second version of user_activity differs on purpose; the last is gone.
PURPOSELY = (
    "count_1h",
    "count_1d",
    "count_7d",
    "count_session_30m",
    "item_id_distinct_1d",
    "item_id_distinct_7d",
    "item_id_distinct_session_30m",
)
#: Where that is declared.
_GONE = 'Distinct("item_id", windows=[Sliding("1d"), Sliding("7d"), Session("30m")])'
ACCEPTED = tuple(option for name in PURPOSELY for option in ("--accept", name))


def deployed_shop(folder: Path, home: Path, rules: str = "") -> Path:
    """A project that is registered, and whose stream runs.

    Args:
        folder: in which its own is made.
        home: where its data is.
        rules: further definitions.
    """
    headrace(home, "init", "shop", folder=folder)
    shop = folder / "shop"
    with (shop / "shop_definitions.py").open("a") as place:
        place.write(rules)
    for command in (("up",), ("apply",), ("stream", "deploy")):
        headrace(home, *command, folder=shop)
    return shop


def settings_of(shop: Path, home: Path) -> Settings:
    """The settings of a project with its data in a home."""
    return load(shop, {"HEADRACE_HOME": str(home)})


def events_of(shop: Path) -> list[dict[str, Any]]:
    """Its sample events, in the order of time."""
    return [json.loads(line) for line in (shop / "events.jsonl").read_text().splitlines()]


def declare_second(shop: Path) -> None:
    """Another meaning of a view: only what isn't just looked at counts, a window more, one less."""
    place = shop / "shop_definitions.py"
    text = place.read_text()
    text = text.replace("version=1", "version=2", 1)
    text = text.replace('Sliding("1h"), ', 'Sliding("1h"), Sliding("2h"), ', 1)
    assert text.count(_GONE) == 1
    text = text.replace(_GONE, _GONE.replace(', Session("30m")', ""))
    text = text.replace("derived=", "filter=\"action <> 'view'\",\n    derived=", 1)
    place.write_text(text)


def listed(shop: Path, home: Path, *options: str) -> dict[str, dict[str, Any]]:
    """What `headrace versions list` tells, by namespace."""
    told = headrace(home, "versions", "list", "--json", *options, folder=shop).stdout
    return {one["namespace"]: one for one in json.loads(told)}


@contextmanager
def constant_reads(shop: Path, home: Path, as_of_ms: int) -> Iterator[Counter[tuple[Any, ...]]]:
    """Read all the time through Feast; what was read, and how often."""
    store = repository.feature_store(settings_of(shop, home))
    seen: Counter[tuple[Any, ...]] = Counter()
    done, failed = Event(), list[BaseException]()

    def read() -> None:
        rows = [{"user_id": USER, "as_of": as_of_ms}]
        try:
            while not done.is_set():
                found = store.get_online_features(COMMON, rows, full_feature_names=True).to_dict()
                values = [found[name.replace(":", "__")][0] for name in COMMON]
                seen[tuple(values)] += 1
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)
            seen["failed", repr(error)] += 1

    thread = Thread(target=read)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
    assert not failed, failed


def expected_at(shop: Path, as_of_ms: int) -> tuple[Any, ...]:
    """What the oracle says of the definitions as they are declared now."""
    script = f"""
import json
from headrace_features import oracle
from headrace_features.oracle import SpineRow
import shop_definitions as shop
rows = [{{"amount_minor": None, **json.loads(line)}} for line in open("events.jsonl")]
mine = [row for row in rows if row["user_id"] == {USER!r}]
spine = [SpineRow({USER!r}, {as_of_ms})]
one = oracle.values(shop.user_activity, mine, spine)[0]
two = oracle.values(shop.user_purchases, mine, spine)[0]
print(json.dumps([one["count_7d"], one["count_1d"], two["count_7d"]]))
"""
    # In a process of its own: the definitions change while this one lives.
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=shop, capture_output=True, text=True, check=True
    )
    return tuple(json.loads(told.stdout))


def ended(shop: Path, home: Path, command: tuple[str, ...], seconds: float, *, whole: bool) -> int:
    """Run a command and kill it after a while, perhaps with all that it has started; its status."""
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("headrace")), *command],
        cwd=shop,
        env={**os.environ, "HEADRACE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        for pid in started_by(process.pid) if whole else [process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return process.wait()


def started_by(pid: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found.extend(map(int, task.read_text().split()))
    return found
