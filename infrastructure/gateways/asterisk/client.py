"""The adapter of the port CallGateway that dials over an Asterisk (docs/asterisk.md)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import structlog

from application.ports.call_gateway import Call, CallState, GatewayEvent, GatewayUnavailable, PlaceResult
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.ami import ActionRefused, Ami
from infrastructure.gateways.asterisk.call_events import KINDS, CallTracker
from infrastructure.gateways.asterisk.call_lookup import find
from infrastructure.gateways.asterisk.messages import Message
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.asterisk.originate import Undialable, is_call_id, originate
from infrastructure.gateways.asterisk.outcomes import OUR_HANGUP_CAUSE
from infrastructure.gateways.reconnecting_link import ReconnectingLink

_NO_CHANNEL = "No such channel"

_logger = structlog.get_logger(__name__)


class AsteriskGateway:
    """A client of an Asterisk. Connects, and reconnects whenever the link is lost, from ``async with`` to its end."""

    def __init__(self, options: AsteriskOptions, *, timeout_s: float = 5.0) -> None:
        """Wait for each response at most ``timeout_s`` seconds."""
        self._options = options
        self._timeout_s = timeout_s
        self._link = ReconnectingLink("Asterisk", self._connect)

    async def __aenter__(self) -> Self:
        self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.close()

    async def place(self, call: Call) -> PlaceResult:
        """See the port. A call whose number would alter the dial string is also ``refused``, and never reaches the switch."""
        ami = self._link.current
        if ami is None:
            return PlaceResult.REFUSED
        try:
            action = originate(call, self._options.trunk)
            await ami.request("Originate", action.variables, **action.fields)
        except Undialable as error:
            metrics.UNDIALABLE.inc()
            _logger.warning("undialable call refused", call_id=call.id, part=str(error))
            return PlaceResult.REFUSED
        except ActionRefused as error:
            _logger.warning("call refused by switch", call_id=call.id, reason=error.reason)
            return PlaceResult.REFUSED
        except GatewayUnavailable:
            return PlaceResult.UNKNOWN
        return PlaceResult.ACCEPTED

    async def hang_up(self, call_id: str) -> None:
        """See the port. An id that is no UUID is ignored: the switch would take some of them for patterns of channels."""
        ami = self._link.require()
        if not is_call_id(call_id):
            return
        try:
            await ami.request("Hangup", Channel=call_id, Cause=str(OUR_HANGUP_CAUSE))
        except ActionRefused as error:
            if error.reason != _NO_CHANNEL:
                raise

    async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
        """See the port."""
        return await find(self._link.require(), call_ids)

    def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """See the port, and ``ReconnectingLink.events``."""
        return self._link.events()

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[tuple[Ami, str]]:
        tracker = CallTracker(self._link.publish)
        async with Ami(self._options, timeout_s=self._timeout_s, on_events=tracker.handle, kinds=KINDS) as ami:
            started = _start_stamp((await ami.request("CoreStatus")).message)
            resolving = asyncio.create_task(tracker.resolve_failed(ami), name="failed calls")
            try:
                yield ami, started
            finally:
                resolving.cancel()
                await asyncio.wait([resolving])


def _start_stamp(status: Message) -> str:
    """Return when the switch started, by its own clock. Raises GatewayUnavailable."""
    date, time = status.get("CoreStartupDate"), status.get("CoreStartupTime")
    if not date or not time:
        raise GatewayUnavailable("CoreStatus: the response lacks CoreStartupDate or CoreStartupTime")
    return f"{date} {time}"
