"""Prometheus metrics of the dispatcher."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from domain.callback.events import Outcome

STARTED = Counter("perezvon_attempts_started", "Attempts that this worker recorded")
LATENESS = Histogram(
    "perezvon_attempt_lateness_seconds",
    "Time from when an attempt was due until the switch was requested to dial, including the webhook before it",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 60, 600),
)
PLACED = Counter("perezvon_calls_placed", "Responses of the switch to requests to dial", ["answer"])
UNTOLD = Counter(
    "perezvon_calls_dialled_untold",
    "Calls dialled although no receiver had accepted the webhook before them",
    ["reason"],
)
OPEN_CALLS = Gauge(
    "perezvon_open_calls", "Calls of the gateway that this worker leads and that have not ended, of two channels each"
)
ENDED = Counter("perezvon_calls_ended", "Calls whose end this worker recorded, by outcome", ["outcome"])
RECONCILED = Counter("perezvon_calls_reconciled", "Open calls compared with the switch, by what was found", ["found"])
FENCED = Counter(
    "perezvon_dispatcher_fenced", "Actions refused because another worker had become leader, by place", ["at"]
)
LEADING = Gauge("perezvon_dispatcher_leading", "1 while this worker leads the gateway", ["gateway"])
LINK_UP = Gauge("perezvon_gateway_link_up", "1 while this worker reaches the switch", ["gateway"])
BREAKER_OPEN = Gauge(
    "perezvon_gateway_breaker_open", "1 while the circuit breaker is open: no call but a probe may start", ["gateway"]
)
PAUSED_ORGANIZATIONS = Gauge(
    "perezvon_gateway_paused_organizations",
    "Organisations whose own calls met congestion: they start none but a probe",
    ["gateway"],
)
LINE_HOLDS = Counter(
    "perezvon_callbacks_postponed", "Callbacks made due later, because calls to their number met congestion"
)
PAUSES = Counter(
    "perezvon_gateway_pauses",
    "Pauses of the gateway, of an organisation or of a number, after congestions in a row or a restart of the switch",
)
HELD = Counter("perezvon_dispatcher_held_seconds", "Seconds in which no call could start, due or not, by cause", ["by"])
OVERDUE = Counter("perezvon_calls_overdue", "Calls hung up because they had exceeded the longest duration")
REFUSED_NUMBERS = Counter(
    "perezvon_callbacks_refused", "Callbacks finished without a ring because of a rule about their numbers", ["rule"]
)
QUOTA_HOLDS = Counter("perezvon_dispatcher_quota_holds", "Callbacks and organisations held by a quota", ["quota"])
UNREADABLE = Counter("perezvon_dispatcher_unreadable", "Callbacks quarantined because their streams cannot be read")
BATCHES = Histogram(
    "perezvon_dispatcher_batch",
    "Calls per transaction",
    ["what"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)


def count_ended(calls: Mapping[Outcome, int]) -> None:
    """Count calls whose ends were recorded."""
    for outcome, count in calls.items():
        ENDED.labels(outcome).inc(count)
        OPEN_CALLS.dec(count)


def reset_gauges(gateway: str) -> None:
    """Set the gauges of a leader to 0."""
    for gauge in (LEADING, LINK_UP, BREAKER_OPEN, PAUSED_ORGANIZATIONS):
        gauge.labels(gateway).set(0)
    OPEN_CALLS.set(0)
