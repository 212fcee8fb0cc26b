"""Attempts that were recorded and are about to be dialled."""

import msgspec

from application.caller_ids import caller_ids
from application.phones import split_extension
from application.policies.decision import Facts
from application.policies.notify_webhooks import Message, message_of
from application.ports.call_gateway import Call
from application.ports.event_log import Appended
from domain.callback.events import AttemptStarted, CallbackScheduled
from domain.model import Recorded
from infrastructure.dispatch.breakers import DialledCall
from infrastructure.dispatch.due_queue import DueCallback
from infrastructure.dispatch.open_calls import OpenCall
from infrastructure.event_log.codec import UnknownFact


class StartedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded attempt, to be dialled after the first delivery attempt of ``message``; ``late_s`` seconds after it was due."""

    call: Call
    dialled: DialledCall
    message: Message | None
    late_s: float
    facts: Facts
    open_call: OpenCall


def started_attempt(due: DueCallback, before: Facts, appended: Appended) -> StartedAttempt:
    """Return the attempt that was recorded for a callback with the facts ``before``. Raises UnknownFact."""
    event: Recorded[AttemptStarted] = appended.events[0]
    scheduled = before[0].fact
    if not isinstance(scheduled, CallbackScheduled):
        raise UnknownFact(f"{due.stream} begins with {type(scheduled).__name__}")
    details = scheduled.personal
    (a_number, a_digits), (b_number, b_digits) = split_extension(details.a_number), split_extension(details.b_number)
    a_sees, b_sees = caller_ids(details.a_number, details.b_number, due.shown_number)
    return StartedAttempt(
        call=Call(
            id=event.fact.call_id,
            a_number=a_number,
            b_number=b_number,
            a_digits=a_digits,
            b_digits=b_digits,
            a_sees=a_sees,
            b_sees=b_sees,
            extension_id=scheduled.extension_id,
        ),
        dialled=DialledCall(due.organization_id, *due.lines(details)),
        message=message_of(event, scheduled),
        late_s=(event.recorded_at - due.due_at).total_seconds(),
        facts=[*before, event],
        open_call=OpenCall(
            call_id=event.fact.call_id,
            callback_id=due.callback_id,
            queue_id=due.queue_id,
            organization_id=due.organization_id,
            attempt=event.fact.attempt,
            position=event.position,
            correlation=event.correlation,
            client_line=due.client_line,
            a_line=due.a_line,
            b_line=due.b_line,
        ),
    )
