"""Features of cards and terminals for the detection of card fraud."""

from headrace_features import (
    Count,
    Distinct,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Last,
    Mean,
    Sliding,
    StdDev,
    struct,
)
from headrace_schemas.events import Transaction, TransactionLabel

card = Entity("card", join_key="card_id", description="A payment card.")
terminal = Entity("terminal", join_key="terminal_id", description="A terminal of a merchant.")

transactions = EventSource(
    name="transactions",
    schema=Transaction,
    dedup_key="transaction_id",
    description="Every card transaction, fraudulent or not.",
)
labels = EventSource(
    name="transaction_labels",
    schema=TransactionLabel,
    dedup_key="transaction_id",
    available_at="reported_at",
    description="Whether a transaction was fraud, known only once it was reported.",
)

card_activity = FeatureView(
    name="card_activity",
    version=1,
    entity=card,
    source=transactions,
    aggregates=[
        Count(windows=[Sliding("1m"), Sliding("1h"), Sliding("1d"), Sliding("7d"), Sliding("30d")]),
        Mean("amount_minor", windows=[Sliding("1d"), Sliding("7d"), Sliding("30d")]),
        StdDev("amount_minor", windows=[Sliding("30d")]),
        Distinct("country", windows=[Sliding("1d")]),
        Last(
            struct("latitude", "longitude", "event_time"),
            windows=[Sliding("30d")],
            exclude_current=True,
        ),
    ],
    description="How a card was used lately.",
    owner="fraud",
)

terminal_risk = FeatureView(
    name="terminal_risk",
    version=1,
    entity=terminal,
    source=labels,
    aggregates=[
        Count(windows=[Sliding(size, delay="7d") for size in ("1d", "7d", "30d")]),
        Mean("is_fraud", windows=[Sliding(size, delay="7d") for size in ("1d", "7d", "30d")]),
    ],
    description="Share of fraud at a terminal, with labels that become known after seven days.",
    owner="fraud",
)

fraud = FeatureService(
    name="fraud",
    features=[card_activity, terminal_risk],
    description="What the fraud model asks for when it decides on a transaction.",
    owner="fraud",
)
