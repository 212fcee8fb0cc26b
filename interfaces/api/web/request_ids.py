"""Ids of a request: the one that its response and log lines carry, and the one that the event log records."""

import re
from typing import NamedTuple

from application.ids import new_request_id

_GIVEN = re.compile(rb"[\x21-\x7e]{1,128}")
_UUID = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class RequestIds(NamedTuple):
    """``shown`` is in ``X-Request-Id`` and log lines; ``recorded`` is the causation and correlation of recorded events.

    ``recorded`` is 32 lower-case hex digits. Any other text could be mistaken for a log position, which the causation of
    an event may be too.
    """

    shown: str
    recorded: str

    @property
    def are_different(self) -> bool:
        """True if the client cannot derive the recorded id from the one that it sent."""
        return self.recorded is not self.shown and self.recorded != _plain(self.shown)


def request_ids(given: bytes | None) -> RequestIds:
    """Return the ids of a request with that ``X-Request-Id``.

    One of 1 to 128 visible ASCII characters is shown unchanged, any other is replaced. A UUID is recorded too, without
    hyphens; for any other id a new UUID is recorded.
    """
    if given is None or not _GIVEN.fullmatch(given):
        new = new_request_id()
        return RequestIds(new, new)
    shown = given.decode()
    return RequestIds(shown, _plain(shown) if _UUID.fullmatch(shown) else new_request_id())


def _plain(request_id: str) -> str:
    return request_id.replace("-", "").lower()
