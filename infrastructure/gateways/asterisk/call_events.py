"""What the switch tells of calls, as news of the port."""

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

_RINGS = {"RINGING", "PROGRESS"}  # early media is what a network plays instead of ringing
_SETTLES_S = 0.5  # a call that had a channel tells its end by itself

_logger = structlog.get_logger(__name__)


class CallTracker:
    """Follows the calls of one session. Calls of others on the same switch cost nothing, and tell nothing."""

    def __init__(self, tell: Callable[[Sequence[GatewayEvent]], None]) -> None:
        """``tell`` is called with the news."""
        self._tell = tell
        self._failed: dict[str, str] = {}
        self._has_failed = asyncio.Event()

    def hear(self, ami: Ami, messages: Sequence[Message]) -> None:
        """Take what the switch tells, of ``KINDS``."""
        news: list[GatewayEvent] = []
        for message in messages:
            match message.get("Event"):
                case "Hangup":
                    self._hung_up(ami, message)
                case "OriginateResponse":
                    self._originated(message)
                case _:
                    news += _progress(message)
        self._tell(news)

    async def settle(self, ami: Ami) -> None:
        """Find out, until cancelled, what became of calls that the switch says it could not dial.

        It says so of each that A did not answer, and of one that lives when its id is sent again (telephony, Crash safety).
        """
        while True:
            await self._has_failed.wait()
            await asyncio.sleep(_SETTLES_S)
            self._has_failed.clear()
            failed, self._failed = self._failed, {}
            try:
                known = await find(ami, [*failed])
            except GatewayUnavailable as error:
                _logger.info("the switch cannot be asked about calls that failed", error=str(error))
                continue
            for (call_id, reason), found in zip(failed.items(), known, strict=True):
                if isinstance(found, Ended):
                    self._tell([CallOver(call_id, found.end)])
                elif isinstance(found, Absent):
                    _logger.warning("a call could not be dialled", call_id=call_id, reason=reason)
                    self._tell([CallOver(call_id, _not_dialled(reason))])

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
        """Ask the ledger when a call is over: its row is there by then."""
        call_id = message.get("Uniqueid")
        if not is_call_id(call_id) or message.variable(CALL_ID) not in {None, call_id}:
            return

        def read(answer: Response | GatewayUnavailable) -> None:
            try:
                row = ledger_row(call_id, answer)
            except GatewayUnavailable as error:
                _logger.info("the ledger cannot be asked", call_id=call_id, error=str(error))
                return
            if row:
                self._failed.pop(call_id, None)
                self._tell([CallOver(call_id, row.end)])
            else:
                metrics.MISSING_ROWS.inc()
                _logger.error("a call has left no ledger row", call_id=call_id)

        ami.send(read, "DBGet", Family=FAMILY, Key=call_id)


def _progress(message: Message) -> list[GatewayEvent]:
    """Answer what a DialState or DialEnd tells: who dials is A, and when nobody does, A is dialled."""
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
