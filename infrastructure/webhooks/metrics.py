"""What is counted of webhooks. No labels name receivers."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter(
    "perezvon_webhook_attempts",
    "Attempts that were recorded, by kind and by what became of the delivery",
    ["kind", "outcome"],
)
SECONDS = Histogram(
    "perezvon_webhook_attempt_seconds",
    "How long attempts took, answered or not",
    ["answered"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
FIRST_LAG = Histogram(
    "perezvon_webhook_first_attempt_lag_seconds",
    "From the event to the start of its first attempt",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300),
)
BLOCKED = Counter("perezvon_webhook_blocked", "Attempts that were refused because of where they would have gone")
FENCED = Counter("perezvon_webhook_fenced", "Results that came too late: another worker had taken the lane over")
PENDING = Gauge("perezvon_webhook_pending", "Deliveries that wait, counted up to 100,000")
OLDEST_DUE = Gauge("perezvon_webhook_oldest_due_seconds", "For how long the delivery that is due longest has been due")
LANES = Gauge("perezvon_webhook_lanes", "Lanes by what holds them up, or not", ["state"])
