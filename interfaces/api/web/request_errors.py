"""What can be wrong with a request before any use case is asked."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from interfaces.api.web.field_types import TOLD

Loc = tuple[str | int, ...]

_ECHO_MAX = 300


class FieldError(NamedTuple):
    """One bad part of a request: where (``("body", "title")``), why, and a stable word for it (pydantic's)."""

    loc: Loc
    message: str
    kind: str


class InvalidRequest(Exception):
    """Parts of the request cannot be taken."""

    def __init__(self, faults: Sequence[FieldError]) -> None:
        super().__init__(", ".join(str(fault.loc) for fault in faults))
        self.faults = faults


class UnsupportedMediaType(Exception):
    """The body is said to be something else than JSON."""


class RequestTimeout(Exception):
    """The body did not come in time."""


class ClientDisconnected(Exception):
    """The client hung up before its body was complete."""


class ClientNotFound(Exception):
    """The path names another organisation than the token's, or none that there is."""


class Unauthenticated(Exception):
    """There is no token, or none that is valid now."""


class Forbidden(Exception):
    """The token's role does not allow this."""


class TooManyRequests(Exception):
    """The limit of ``burst`` is used up; in ``retry_after`` seconds there is room for one more, in ``reset`` for all."""

    def __init__(self, burst: int, retry_after: float, reset: float) -> None:
        super().__init__()
        self.burst = burst
        self.retry_after = retry_after
        self.reset = reset


# msgspec's texts, each with pydantic's word for it, which clients of contract 1 may know.
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
        (r"Invalid RFC3339|Expected `datetime", "datetime_parsing"),
        (r"Invalid enum value", "enum"),
        (r"Expected `str\b", "string_type"),
        (r"Expected `int\b", "int_parsing"),
        (r"Expected `bool\b", "bool_parsing"),
        (r"Expected `(object|array)\b", "model_type"),
    )
)
_TOLD = {f"matching regex {pattern!r}": told for pattern, told in TOLD.items()}


def to_field_error(loc: Loc, message: str) -> FieldError:
    """Answer the fault that a message of msgspec tells."""
    pattern = message.find("matching regex ")
    if pattern >= 0 and (known := _TOLD.get(message[pattern:])):
        return FieldError(loc, *known)
    kind = next((kind for known, kind in _KIND_OF if known.match(message)), "value_error")
    return FieldError(loc, message[:_ECHO_MAX], kind)
