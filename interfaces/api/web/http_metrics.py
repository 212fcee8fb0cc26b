"""What is counted of the API, for Prometheus. Routes are counted by their template: raw paths would be without bound."""

from http import HTTPMethod

from prometheus_client import Counter, Histogram

_METHODS = frozenset(HTTPMethod)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

_requests = Counter("perezvon_http_requests", "Requests answered", ("method", "route", "status"))
_durations = Histogram(
    "perezvon_http_request_seconds", "From a request to the end of its answer", ("method", "route"), buckets=_SECONDS
)
_children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request."""
    known = method if method in _METHODS else "other"
    key = (known, route, status)
    if (children := _children.get(key)) is None:
        children = _children[key] = (_requests.labels(*map(str, key)), _durations.labels(known, route))
    children[0].inc()
    children[1].observe(seconds)
