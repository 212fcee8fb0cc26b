"""What the worker tells Prometheus about its projections."""

from prometheus_client import Counter, Gauge

from application.queries import Lag

EVENTS = Counter("perezvon_projection_events", "Events that this worker folded or parked", ["projection"])
BATCHES = Counter("perezvon_projection_batches", "Batches that this worker committed", ["projection"])
RETRIES = Counter("perezvon_projection_retries", "Batches that were given up for now, and why", ["projection", "error"])
_LAG_EVENTS = Gauge("perezvon_projection_lag_events", "Events that the view does not show yet", ["projection"])
_LAG_SECONDS = Gauge(
    "perezvon_projection_lag_seconds", "Age of the oldest event that the view does not show", ["projection"]
)
_PARKED = Gauge("perezvon_projection_parked_streams", "Streams that wait for retry-parked", ["projection"])


def show(lag: Lag) -> None:
    """Set the gauges of a projection."""
    _LAG_EVENTS.labels(lag.name).set(lag.events)
    _LAG_SECONDS.labels(lag.name).set(lag.seconds)
    _PARKED.labels(lag.name).set(lag.parked)
