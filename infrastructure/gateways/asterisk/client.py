"""The adapter of the port CallGateway that dials over an Asterisk (telephony, AMI, exactly)."""

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
    """A client of an Asterisk. Connects, and again whenever the link is lost, from ``async with`` to its end."""

    def __init__(self, options: AsteriskOptions, *, patience_s: float = 5.0) -> None:
        """No answer is waited for longer than the patience."""
        self._options = options
        self._patience_s = patience_s
        self._link = ReconnectingLink("Asterisk", self._connect)

    async def __aenter__(self) -> Self:
        self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.close()

    async def place(self, call: Call) -> PlaceResult:
        """See the port. ``refused`` is also what never reaches the switch: a number that would alter the dial string."""
        ami = self._link.now
        if ami is None:
            return PlaceResult.REFUSED
        try:
            action = originate(call, self._options.trunk)
            await ami.ask("Originate", action.variables, **action.fields)
        except Undialable as error:
            metrics.UNDIALABLE.inc()
            _logger.warning("a call cannot be dialled", call_id=call.id, part=str(error))
            return PlaceResult.REFUSED
        except ActionRefused as error:
            _logger.warning("Asterisk refused a call", call_id=call.id, reason=error.reason)
            return PlaceResult.REFUSED
        except GatewayUnavailable:
            return PlaceResult.UNKNOWN
        return PlaceResult.ACCEPTED

    async def hang_up(self, call_id: str) -> None:
        """See the port. What is no call's id never was: the switch would take some for patterns of channels."""
        ami = self._link.reached()
        if not is_call_id(call_id):
            return
        try:
            await ami.ask("Hangup", Channel=call_id, Cause=str(OUR_HANGUP_CAUSE))
        except ActionRefused as error:
            if error.reason != _NO_CHANNEL:
                raise

    async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
        """See the port."""
        return await find(self._link.reached(), call_ids)

    def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """See the port, and ``ReconnectingLink.events``."""
        return self._link.events()

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[tuple[Ami, str]]:
        following = CallTracker(self._link.tell)
        async with Ami(self._options, patience_s=self._patience_s, hear=following.hear, kinds=KINDS) as ami:
            started = _start_stamp((await ami.ask("CoreStatus")).message)
            settling = asyncio.create_task(following.settle(ami), name="calls that failed")
            try:
                yield ami, started
            finally:
                settling.cancel()
                await asyncio.wait([settling])


def _start_stamp(status: Message) -> str:
    """Answer when the switch started, by its own clock. Raises GatewayUnavailable."""
    date, time = status.get("CoreStartupDate"), status.get("CoreStartupTime")
    if not date or not time:
        raise GatewayUnavailable("CoreStatus: the answer does not tell when the switch started")
    return f"{date} {time}"
