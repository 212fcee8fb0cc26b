"""Headers of responses in the OpenAPI document."""

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer"}

RESPONSE_HEADERS: dict[str, Json] = {
    "ETag": {"description": "The task's version in quotes.", "schema": {**_TEXT, "pattern": '^"[0-9]+"$'}},
    "Perezvon-Position": {
        "description": "The log position that this response shows. A list request that carries it waits up to one"
        " second for its view to reach it.",
        "schema": _COUNT,
    },
    "Perezvon-Total": {
        "description": "`at-least`: there are more items than `total` says. Absent when `total` is exact.",
        "schema": _TEXT,
    },
    "Idempotency-Replayed": {
        "description": "`true`: the command ran earlier under this Idempotency-Key; this is its first response again.",
        "schema": _TEXT,
    },
    "Link": {
        "description": "URL of the next page of the list, with `rel=next`. Absent on the last page.",
        "schema": _TEXT,
    },
}
"""Headers that a handler names in its option ``response_headers``."""

_COMMON_HEADERS: dict[str, Json] = {
    "X-Request-Id": {
        "description": "The request's own `X-Request-Id` if it has 1 to 128 visible ASCII characters, otherwise a new id.",
        "schema": _TEXT,
    },
    "Perezvon-Correlation": {
        "description": "The id that recorded events have as correlation. Absent when it is that of `X-Request-Id`.",
        "schema": {**_TEXT, "pattern": "^[0-9a-f]{32}$"},
    },
}
_IGNORED_HEADER: dict[str, Json] = {
    "Perezvon-Ignored": {
        "description": "Query parameters that are unknown here and were ignored, separated by commas: at most 10. Absent when"
        " there were none.",
        "schema": _TEXT,
    }
}
_RATE_LIMIT_HEADERS: dict[str, Json] = {
    "X-RateLimit-Limit": {"description": "Requests that a full bucket allows (burst).", "schema": _COUNT},
    "X-RateLimit-Remaining": {"description": "Requests that remain now.", "schema": _COUNT},
    "X-RateLimit-Reset": {"description": "Seconds until the bucket is full again.", "schema": _COUNT},
}
SHARED_HEADERS = _COMMON_HEADERS | _IGNORED_HEADER | _RATE_LIMIT_HEADERS
"""Headers of many responses: each is declared once in the document, and responses refer to it."""

_RETRY_AFTER: Json = {"description": "Seconds to wait before the next request.", "schema": _COUNT}
ERROR_HEADERS: dict[int, dict[str, Json]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer`", "schema": _TEXT}},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}
"""Headers of responses with an error status."""


def shared_headers(*, ignores_params: bool, is_counted: bool) -> dict[str, Json]:
    """Return references to the headers that all responses of a route have.

    ``ignores_params``: the route ignores unknown query parameters, and names them; ``is_counted``: rate limits apply.
    """
    names = [
        *_COMMON_HEADERS,
        *(_IGNORED_HEADER if ignores_params else ()),
        *(_RATE_LIMIT_HEADERS if is_counted else ()),
    ]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
