"""Sample events for a new project: people view items of a shop, fill carts and buy."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: A user with events a few minutes before the end, so that the newest windows aren't empty.
EXAMPLE_USER = "user-001"

Row = dict[str, str | int]

_USERS = 120
_ITEMS = 80
_DAYS = 10
_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_DAY_MS = 24 * 60 * _MINUTE_MS
#: The last session of the example user: minutes before the end, and what is done with which item.
_LAST_VISIT = (
    (14, "view", 3),
    (12, "view", 8),
    (11, "cart", 8),
    (7, "view", 5),
    (4, "purchase", 8),
    (2, "view", 3),
)


def sample_activity(now_ms: int, seed: int = 0) -> list[Row]:
    """About two thousand events of the ten days up to a moment, in order of time.

    A row has event_id, user_id, event_time (ms UTC), action (view, cart, purchase), item_id and,
    for carts and purchases, amount_minor. Few users are busy, most are not. The same seed gives
    the same events, moved to end at `now_ms`.
    """
    rng = random.Random(seed)  # noqa: S311 - sample data, no secret
    prices = [100 * rng.randint(3, 120) - 1 for _ in range(_ITEMS)]
    rows = list(_last_visit(prices, now_ms))
    for number in range(1, _USERS + 1):
        for _ in range(2 + 30 // (number + 1)):
            start_ms = now_ms - rng.randrange(_DAY_MS // 12, _DAYS * _DAY_MS)
            rows.extend(_visit(rng, prices, f"user-{number:03d}", start_ms))
    rows.sort(key=lambda row: (row["event_time"], row["user_id"]))
    return [{"event_id": f"event-{number:05d}", **row} for number, row in enumerate(rows, 1)]


def _last_visit(prices: list[int], now_ms: int) -> Iterator[Row]:
    for minutes, action, item in _LAST_VISIT:
        yield _row(prices, EXAMPLE_USER, now_ms - minutes * _MINUTE_MS, action, item)


def _visit(rng: random.Random, prices: list[int], user_id: str, start_ms: int) -> Iterator[Row]:
    """One visit: some items are viewed, some of those put into the cart, some of those bought."""
    time_ms = start_ms
    cart = []
    for _ in range(rng.randint(2, 8)):
        item = int(_ITEMS * rng.random() ** 2)
        yield _row(prices, user_id, time_ms, "view", item)
        time_ms += rng.randrange(5 * _SECOND_MS, 4 * _MINUTE_MS)
        if rng.random() < 0.3:  # noqa: PLR2004 - a share like any other
            yield _row(prices, user_id, time_ms, "cart", item)
            time_ms += rng.randrange(5 * _SECOND_MS, _MINUTE_MS)
            cart.append(item)
    for item in cart:
        if rng.random() < 0.5:  # noqa: PLR2004 - a share like any other
            yield _row(prices, user_id, time_ms, "purchase", item)


def _row(prices: list[int], user_id: str, time_ms: int, action: str, item: int) -> Row:
    row: Row = {
        "user_id": user_id,
        "event_time": time_ms,
        "action": action,
        "item_id": f"item-{item:02d}",
    }
    if action != "view":
        row["amount_minor"] = prices[item]
    return row
