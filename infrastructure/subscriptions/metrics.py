"""Metrics of projections and policies for Prometheus."""

from prometheus_client import Counter, Gauge

from application.queries.view_lag import Lag

EVENTS = Counter("perezvon_handler_events", "Events that this worker handled, passed over or parked", ["handler"])
BATCHES = Counter("perezvon_handler_batches", "Batches that this worker committed", ["handler"])
RETRIES = Counter("perezvon_handler_retries", "Batches that failed and are retried, by the error", ["handler", "error"])
_LAG_EVENTS = Gauge("perezvon_handler_lag_events", "Events that the view or policy has not handled yet", ["handler"])
_LAG_SECONDS = Gauge(
    "perezvon_handler_lag_seconds", "Age of the oldest event that the view or policy has not handled yet", ["handler"]
)
_PARKED = Gauge("perezvon_handler_parked_streams", "Streams that wait for retry-parked", ["handler"])


def show(lag: Lag) -> None:
    """Set the gauges of a projection or policy."""
    _LAG_EVENTS.labels(lag.name).set(lag.events)
    _LAG_SECONDS.labels(lag.name).set(lag.seconds)
    _PARKED.labels(lag.name).set(lag.parked)
