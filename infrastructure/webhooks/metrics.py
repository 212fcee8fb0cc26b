"""Metrics of webhooks. No label identifies a receiver."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter(
    "perezvon_webhook_attempts",
    "Attempts that were recorded, by kind and by the state of the delivery that follows",
    ["kind", "outcome"],
)
SECONDS = Histogram(
    "perezvon_webhook_attempt_seconds",
    "Duration of attempts, by whether the receiver responded",
    ["answered"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
FIRST_LAG = Histogram(
    "perezvon_webhook_first_attempt_lag_seconds",
    "Time from the event to the start of its first attempt",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300),
)
BLOCKED = Counter("perezvon_webhook_blocked", "Attempts that were refused because their destination is not allowed")
UNSIGNED = Counter(
    "perezvon_webhook_unsigned", "Attempts that were not sent, because the signing secret could not be read"
)
FENCED = Counter("perezvon_webhook_fenced", "Results that came too late: another worker had leased the lane")
PENDING = Gauge("perezvon_webhook_pending", "Pending deliveries, counted up to 100,000")
OLDEST_DUE = Gauge("perezvon_webhook_oldest_due_seconds", "Time for which the oldest due delivery has been due")
LANES = Gauge(
    "perezvon_webhook_lanes", "Lanes with something pending, by state: open, paused, leased or waiting", ["state"]
)
