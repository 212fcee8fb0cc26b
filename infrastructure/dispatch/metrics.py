"""What the worker tells Prometheus about its calls."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from domain.callback.events import Outcome

STARTED = Counter("perezvon_attempts_started", "Attempts that this worker put on record")
LATENESS = Histogram(
    "perezvon_attempt_lateness_seconds",
    "From when an attempt was due to when the switch was asked to dial, webhook before it included",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 60, 600),
)
PLACED = Counter("perezvon_calls_placed", "What the switch answered when asked to dial", ["answer"])
OPEN_CALLS = Gauge("perezvon_open_calls", "Calls that this worker leads and that have not ended, of two channels each")
ENDED = Counter("perezvon_calls_ended", "Calls whose end this worker recorded, by outcome", ["outcome"])
RECONCILED = Counter("perezvon_calls_reconciled", "What the switch knew of calls that it was asked about", ["found"])
FENCED = Counter("perezvon_dispatcher_fenced", "Refusals of a leader that another had followed", ["at"])
LEADING = Gauge("perezvon_dispatcher_leading", "1 while this worker leads the gateway", ["gateway"])
LINK_UP = Gauge("perezvon_gateway_link_up", "1 while this worker reaches the switch", ["gateway"])
BREAKER_OPEN = Gauge("perezvon_gateway_breaker_open", "1 while no call but a probe may start", ["gateway"])
PAUSES = Counter("perezvon_gateway_pauses", "Pauses of the switch, after congestions in a row or its restart")
HELD = Counter("perezvon_dispatcher_held_seconds", "For how long nothing could start, due or not, and why", ["by"])
OVERDUE = Counter("perezvon_calls_overdue", "Calls hung up because they had lasted longer than any may")
UNREADABLE = Counter("perezvon_dispatcher_unreadable", "Callbacks left alone because their streams cannot be read")
BATCHES = Histogram(
    "perezvon_dispatcher_batch",
    "Calls that shared a transaction",
    ["what"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)


def ended(calls: Mapping[Outcome, int]) -> None:
    """Count calls whose ends were recorded."""
    for outcome, count in calls.items():
        ENDED.labels(outcome).inc(count)
        OPEN_CALLS.dec(count)


def nobody_leads(gateway: str) -> None:
    """Set to nothing what a leader shows."""
    for gauge in (LEADING, LINK_UP, BREAKER_OPEN):
        gauge.labels(gateway).set(0)
    OPEN_CALLS.set(0)
