"""The constants of the published model, and of what is added to it."""

from __future__ import annotations

import math

MAP_SIDE = 100.0

LEAST_MEAN_AMOUNT = 5.0
MOST_MEAN_AMOUNT = 100.0
MOST_TRANSACTIONS_PER_DAY = 4.0
"""The mean number of a card is uniform between 0 and this."""

DAY_S = 86_400
DAY_MS = DAY_S * 1000
NOON_S = DAY_S / 2
TIME_DEVIATION_S = 20_000.0

# The published generator draws a number of transactions and a time for each, and discards those
# at or before second 0 and those of the next day; this is the share that stays. A Poisson number
# of which a share is kept is again Poisson, so the number kept can be drawn at once.
KEPT_SHARE = (
    math.erf((DAY_S - NOON_S) / (TIME_DEVIATION_S * math.sqrt(2)))
    + math.erf((NOON_S - 1) / (TIME_DEVIATION_S * math.sqrt(2)))
) / 2

LARGE_AMOUNT_MINOR = 22_000
"""Scenario 1: above this, it is fraud."""

COMPROMISED_DAYS = 28
"""Scenario 2: for so long all transactions of a terminal are fraud."""

STOLEN_DAYS = 14
STOLEN_ONE_IN = 3
STOLEN_FACTOR = 5
"""Scenario 3: for 14 days a third of a card's transactions are fraud, at five times the amount."""

LABEL_DELAY_MS = 7 * DAY_MS
"""A transaction's label is reported a week after it."""

CHANNELS = (("chip", 0.45), ("contactless", 0.35), ("online", 0.15), ("magstripe", 0.05))
"""How a card is used, and how often."""
