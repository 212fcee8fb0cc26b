"""The open connections of the server: a limit in total and for each address; idle ones make room for new ones."""

from collections.abc import Container, Hashable
from time import monotonic
from typing import Protocol

import structlog

from application.fair_share import FairShare
from interfaces.api.web import http_metrics
from interfaces.api.web.rate_limit import address_key

_LOG_PAUSE_S = 10.0

_log = structlog.get_logger("perezvon.http")


class Closable(Hashable, Protocol):
    """A connection that the server can close while it is idle."""

    def close_idle(self) -> None:
        """Close the connection."""
        ...


class Connections:
    """The connections of one server, shared between addresses (docs/adr/0013-fair-shares.md).

    An address has at most ``per_address`` of them, and another one only while it has fewer than are free. The addresses of
    trusted proxies are exempt from both: all clients behind a proxy have its address. An idle connection is closed when a
    new one needs its place: that of the same address, or any for an address that has none.
    """

    def __init__(self, total: int, per_address: int, trusted: Container[str] = ()) -> None:
        """Start without connections."""
        self._share = FairShare("connections", total)
        self._per_address = per_address
        self._trusted = trusted
        self._owners: dict[Closable, Hashable] = {}
        self._idle: dict[Closable, None] = {}  # in the order in which they became idle
        self._logged_at = -_LOG_PAUSE_S

    def admit(self, connection: Closable, host: str) -> bool:
        """Give a place to a new connection from ``host``; return whether there was one."""
        owner = connection if host in self._trusted else address_key(host)
        if not (self._take(owner) or (self._close_idle_for(owner) and self._take(owner))):
            self._note_refusal(host)
            return False
        self._owners[connection] = owner
        return True

    def release(self, connection: Closable) -> None:
        """Return the connection's place, if it has one."""
        self._idle.pop(connection, None)
        if (owner := self._owners.pop(connection, None)) is not None:
            self._share.release(owner)

    def set_idle(self, connection: Closable) -> None:
        """Note that the connection waits for its next request."""
        if connection in self._owners:
            self._idle[connection] = None

    def set_busy(self, connection: Closable) -> None:
        """Note that a request arrives over the connection."""
        self._idle.pop(connection, None)

    def _take(self, owner: Hashable) -> bool:
        return self._share.held(owner) < self._per_address and self._share.try_acquire(owner)

    def _close_idle_for(self, owner: Hashable) -> bool:
        has_none = not self._share.held(owner)
        for connection in self._idle:
            if has_none or self._owners[connection] == owner:
                self.release(connection)
                connection.close_idle()
                return True
        return False

    def _note_refusal(self, host: str) -> None:
        http_metrics.count_refusal("connections")
        if (now := monotonic()) - self._logged_at >= _LOG_PAUSE_S:
            self._logged_at = now
            _log.warning("connections exhausted", client=host, open=len(self._owners), places=self._share.places)
