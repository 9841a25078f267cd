"""Features of cards and terminals for the detection of card fraud."""

from headrace_features import (
    Count,
    Decisions,
    Distinct,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Last,
    Mean,
    OnDemandView,
    Rule,
    Sliding,
    StdDev,
    TrainingSet,
    struct,
)
from headrace_schemas.events import Transaction, TransactionLabel

_KM_SINCE_LAST = (
    "GREAT_CIRCLE_KM(latitude, longitude,"
    " card_activity__latitude_last_30d_excluding_current,"
    " card_activity__longitude_last_30d_excluding_current)"
)

card = Entity("card", join_key="card_id", description="A payment card.", owner="fraud")
terminal = Entity(
    "terminal", join_key="terminal_id", description="A terminal of a merchant.", owner="fraud"
)

transactions = EventSource(
    name="transactions",
    schema=Transaction,
    dedup_key="transaction_id",
    description="Every card transaction, fraudulent or not.",
    owner="fraud",
    tags={"kind": "events"},
)
labels = EventSource(
    name="transaction_labels",
    schema=TransactionLabel,
    dedup_key="transaction_id",
    available_at="reported_at",
    description="Whether a transaction was fraud, known only once it was reported.",
    owner="fraud",
    tags={"kind": "labels"},
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

transaction_context = OnDemandView(
    name="transaction_context",
    version=1,
    inputs=[card_activity],
    request={"amount_minor": int, "latitude": float, "longitude": float},
    features={
        "amount_to_mean": "amount_minor / card_activity__amount_minor_mean_30d",
        "km_since_last": _KM_SINCE_LAST,
    },
    description="How a transaction compares with how its card was used lately.",
    owner="fraud",
)

fraud = FeatureService(
    name="fraud",
    features=[card_activity, terminal_risk],
    description="What the fraud model asks for when it decides on a transaction.",
    owner="fraud",
)

fraud_scoring = FeatureService(
    name="fraud_scoring",
    features=[card_activity, terminal_risk, transaction_context],
    description="The same and what depends on the transaction itself, which the request brings.",
    owner="fraud",
)

fraud_training = TrainingSet(
    name="fraud_training",
    service=fraud_scoring,
    events=transactions,
    label=["is_fraud"],
    label_source=labels,
    label_delay="7d",
    hold_out=0.1,
    entity=card,
    description="Transactions of the last 90 days of which it is known whether they were fraud.",
    owner="fraud",
)

card_decisions = Decisions(
    name="fraud",
    source=transactions,
    service=fraud,
    rules=[
        Rule(
            "velocity",
            "card_activity__count_1m >= 4 OR card_activity__count_1h >= 15",
            description="The card is used more often than a person would.",
        ),
        Rule(
            "amount_outlier",
            "card_activity__count_30d >= 10 AND amount_minor > card_activity__amount_minor_mean_30d"
            " + 4 * card_activity__amount_minor_stddev_30d",
            description="The amount is far above what the card usually pays.",
        ),
        Rule(
            "impossible_travel",
            f"{_KM_SINCE_LAST} > 50 AND {_KM_SINCE_LAST} * 3600000"
            " > 900 * (event_time - card_activity__event_time_last_30d_excluding_current)",
            description="Between two places of payment lies more than a flight at 900 km/h.",
        ),
        Rule(
            "terminal_risk",
            "terminal_risk__count_30d_delayed_7d >= 5"
            " AND terminal_risk__is_fraud_mean_30d_delayed_7d >= 0.3",
            description="Much of what the terminal took lately was fraud.",
        ),
    ],
    description="Whether a transaction is flagged, as it happens.",
    owner="fraud",
)
