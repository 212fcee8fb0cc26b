"""Prometheus metrics of requests, labelled by route template: raw paths would create unbounded label values."""

from http import HTTPMethod

from prometheus_client import Counter, Histogram

_METHODS = frozenset(HTTPMethod)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

_requests = Counter("perezvon_http_requests", "HTTP requests that got a response", ("method", "route", "status"))
_durations = Histogram(
    "perezvon_http_request_seconds",
    "Seconds from the start of an HTTP request to the end of its response",
    ("method", "route"),
    buckets=_SECONDS,
)
_refusals = Counter(
    "perezvon_http_refusals",
    "Connections and requests that the server refused before the application saw them",
    ("reason",),
)
_children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request and its duration."""
    label = method if method in _METHODS else "other"
    key = (label, route, status)
    if (children := _children.get(key)) is None:
        children = _children[key] = (_requests.labels(*map(str, key)), _durations.labels(label, route))
    children[0].inc()
    children[1].observe(seconds)


def count_refusal(reason: str) -> None:
    """Count a connection or request that the server refused by itself."""
    _refusals.labels(reason).inc()
