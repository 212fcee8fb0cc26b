"""Exceptions of the HTTP layer, raised before any use case runs, and the field errors of a request."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from application.errors import PreconditionFailed
from interfaces.api.web.field_types import PATTERN_ERRORS

Loc = tuple[str | int, ...]

_ECHO_MAX = 300


class FieldError(NamedTuple):
    """An invalid part of a request: its location (``("body", "title")``), the reason, and pydantic's code for it."""

    loc: Loc
    message: str
    kind: str


class InvalidRequest(Exception):
    """Parts of the request are invalid."""

    def __init__(self, field_errors: Sequence[FieldError]) -> None:
        super().__init__(", ".join(str(error.loc) for error in field_errors))
        self.field_errors = field_errors


class UnsupportedMediaType(Exception):
    """The Content-Type of the body is not JSON."""


class UnsupportedContentCoding(UnsupportedMediaType):
    """The body is compressed; ``coding`` is the start of its Content-Encoding."""

    def __init__(self, coding: str) -> None:
        super().__init__(
            f"Content-Encoding {coding!a} is not supported: send the body uncompressed, without Content-Encoding"
        )


class RequestTimeout(Exception):
    """The body did not arrive in time."""


class ClientDisconnected(Exception):
    """The client closed the connection before its body was complete."""


class ClientNotFound(Exception):
    """The client in the path is not the token's organisation."""


class IfMatchMalformed(PreconditionFailed):
    """``If-Match`` is neither ``*`` nor a list of entity tags."""


class IfMatchOnCreation(PreconditionFailed):
    """``If-Match`` on a request that creates a task: there is no version to match."""


class Unauthenticated(Exception):
    """The request has no token, or none that is valid now."""


class TooManyRequests(Exception):
    """The limit of ``burst`` requests is used up.

    One more request is allowed in ``retry_after`` seconds, and the whole burst in ``reset`` seconds.
    """

    def __init__(self, burst: int, retry_after: float, reset: float) -> None:
        super().__init__()
        self.burst = burst
        self.retry_after = retry_after
        self.reset = reset


# msgspec's messages, each with pydantic's code, which clients of docs/contracts/tasks.md may know.
_KIND_OF = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"Field required", "missing"),
        (r"Unknown field", "extra_forbidden"),
        (r"Malformed JSON", "json_invalid"),
        (r"Expected `str` of length >= ", "string_too_short"),
        (r"Expected `str` of length <= ", "string_too_long"),
        (r"Expected `(int|float)` >= ", "greater_than_equal"),
        (r"Expected `(int|float)` <= ", "less_than_equal"),
        (r"Expected a time |Expected second 60 ", "datetime_parsing"),
        (r"Invalid enum value", "enum"),
        (r"Expected `str\b", "string_type"),
        (r"Expected `int\b", "int_parsing"),
        (r"Expected `bool\b", "bool_parsing"),
        (r"Expected `(object|array)\b", "model_type"),
    )
)
_ERROR_OF_PATTERN = {f"matching regex {pattern!r}": error for pattern, error in PATTERN_ERRORS.items()}


def to_field_error(loc: Loc, message: str) -> FieldError:
    """Return the field error of a message of msgspec."""
    pattern = message.find("matching regex ")
    if pattern >= 0 and (known := _ERROR_OF_PATTERN.get(message[pattern:])):
        return FieldError(loc, *known)
    kind = next((kind for known, kind in _KIND_OF if known.match(message)), "value_error")
    return FieldError(loc, message[:_ECHO_MAX], kind)
