"""Translation of the switch's events into those of the port."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from application.ports.call_gateway import (
    Absent,
    CallOver,
    CallProgressed,
    Ended,
    GatewayEvent,
    GatewayUnavailable,
    Progress,
)
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.ami import ACTION_ID_PREFIX, Ami, Response
from infrastructure.gateways.asterisk.call_lookup import find, ledger_row
from infrastructure.gateways.asterisk.ledger import FAMILY
from infrastructure.gateways.asterisk.messages import Message
from infrastructure.gateways.asterisk.originate import CALL_ID, is_call_id

KINDS = frozenset({b"DialState", b"DialEnd", b"Hangup", b"OriginateResponse"})

_RINGS = {"RINGING", "PROGRESS"}  # early media: some networks play it instead of ringing
_RESOLVE_AFTER_S = 0.5  # a call that had a channel reports its end itself

_logger = structlog.get_logger(__name__)


class CallTracker:
    """Tracks the calls of one session. Other calls on the same switch are ignored, and cost nothing."""

    def __init__(self, publish: Callable[[Sequence[GatewayEvent]], None]) -> None:
        """Call ``publish`` with the port's events."""
        self._publish = publish
        self._failed: dict[str, str] = {}
        self._has_failed = asyncio.Event()

    def handle(self, ami: Ami, messages: Sequence[Message]) -> None:
        """Translate events of ``KINDS`` and publish them."""
        events: list[GatewayEvent] = []
        for message in messages:
            match message.get("Event"):
                case "Hangup":
                    self._hung_up(ami, message)
                case "OriginateResponse":
                    self._originated(message)
                case _:
                    events += _progress(message)
        self._publish(events)

    async def resolve_failed(self, ami: Ami) -> None:
        """Look up, until cancelled, the calls of which the switch reports that it could not dial them.

        It reports so for each call that A did not answer, and for a live one whose id is sent again.
        """
        while True:
            await self._has_failed.wait()
            await asyncio.sleep(_RESOLVE_AFTER_S)
            self._has_failed.clear()
            failed, self._failed = self._failed, {}
            try:
                states = await find(ami, [*failed])
            except GatewayUnavailable as error:
                _logger.info("failed calls not looked up", error=str(error))
                continue
            for (call_id, reason), state in zip(failed.items(), states, strict=True):
                if isinstance(state, Ended):
                    self._publish([CallOver(call_id, state.end)])
                elif isinstance(state, Absent):
                    _logger.warning("call not dialled", call_id=call_id, reason=reason)
                    self._publish([CallOver(call_id, _not_dialled(reason))])

    def _originated(self, message: Message) -> None:
        call_id = message.get("Uniqueid")
        if (
            message.get("Response") == "Failure"
            and message.get("ActionID").startswith(ACTION_ID_PREFIX)
            and is_call_id(call_id)
        ):
            self._failed[call_id] = message.get("Reason")
            self._has_failed.set()

    def _hung_up(self, ami: Ami, message: Message) -> None:
        """Read the ledger row of a call that hung up: it is written by then."""
        call_id = message.get("Uniqueid")
        if not is_call_id(call_id) or message.variable(CALL_ID) not in {None, call_id}:
            return

        def read(response: Response | GatewayUnavailable) -> None:
            try:
                row = ledger_row(call_id, response)
            except GatewayUnavailable as error:
                _logger.info("ledger not read", call_id=call_id, error=str(error))
                return
            if row:
                self._failed.pop(call_id, None)
                self._publish([CallOver(call_id, row.end)])
            else:
                metrics.MISSING_ROWS.inc()
                _logger.error("ledger row missing", call_id=call_id)

        ami.send(read, "DBGet", Family=FAMILY, Key=call_id)


def _progress(message: Message) -> list[GatewayEvent]:
    """Return the progress that a DialState or DialEnd reports: the dialling channel is A; without one, A is being dialled."""
    dialling, dialled, status = message.get("Uniqueid"), message.get("DestUniqueid"), message.get("DialStatus")
    if status in _RINGS:
        call_id, progress = (dialling, Progress.RINGING_B) if dialling else (dialled, Progress.RINGING_A)
    elif status == "ANSWER":
        call_id, progress = dialling, Progress.JOINED
    else:
        return []
    return [CallProgressed(call_id, progress)] if is_call_id(call_id) else []


def _not_dialled(reason: str) -> CallEnd:
    return CallEnd(outcome=Outcome.CONGESTION, leg=Leg.A, dial_status=f"FAILURE {reason}"[:20].strip())
