"""``/client/{client_id}/call_history/{call_uuid}``: the record of a call (``docs/contracts/task_scheduler.md``, ``cdr``).

Members that the sibling API's call history has too carry its names; the others are our own.
"""

import re
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Router, get
from msgspec import Meta

from application.call_history import CallRecord
from application.errors import CallNotFound
from domain.callback.events import Leg, Outcome
from domain.permissions import Permission
from interfaces.api.routes.queue_times import format_utc
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.path_params import check_own_client
from interfaces.api.web.routers import client_routers

CALL_UUID = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"

Result = Literal["bridged", "answered", "not answered", "busy", "rejected", "failed"]

_RESULTS: dict[Outcome, Result] = {
    Outcome.SUCCESS: "bridged",
    Outcome.BUSY: "busy",
    Outcome.NO_ANSWER: "not answered",
    Outcome.REJECTED: "rejected",
    Outcome.INVALID_NUMBER: "failed",
    Outcome.CONGESTION: "failed",
    Outcome.ABANDONED: "not answered",
    Outcome.CANCELLED: "not answered",
    Outcome.LOST: "failed",
    Outcome.NOT_DIALLED: "failed",
}


class CallPart(msgspec.Struct, frozen=True, kw_only=True):
    """A leg of a call. ``answered`` and ``result`` are null until known; ``result`` is null too if the phone was not called."""

    leg: Leg
    to_username: Annotated[str, Meta(description="The number that is called.")]
    answered: bool | None
    result: Result | None


class CallHistoryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A call. Every key is present; null means that it has not happened or is not known."""

    call_uuid: str
    client_owner_id: Annotated[int, Meta(description="The organisation's number.")]
    flow: Literal["out"]
    init_time_gmt: Annotated[str, Meta(description="Start of the attempt, in UTC.")]
    bridged_time_gmt: Annotated[str | None, Meta(description="Time when A and B were connected, in UTC.")]
    hangup_time_gmt: Annotated[str | None, Meta(description="Time when the end was recorded, in UTC.")]
    duration: Annotated[int | None, Meta(description="Seconds from the start to the end.")]
    bridged_duration: Annotated[int | None, Meta(description="Seconds for which A and B were connected.")]
    from_username: Annotated[str, Meta(description="A's number.")]
    to_username: Annotated[str, Meta(description="B's number.")]
    bridged_username: Annotated[str | None, Meta(description="B's number, if A and B were connected.")]
    extension_id: int | None
    result: Result | None
    outcome: Outcome | None
    leg: Annotated[Leg | None, Meta(description="The leg that decided how the call ended.")]
    sip: Annotated[str | None, Meta(description="The SIP status line of the deciding leg.")]
    cause: Annotated[int | None, Meta(description="The Q.850 cause.")]
    dial_status: Annotated[str | None, Meta(description="The switch's own status of B's leg.")]
    attempt: Annotated[int, Meta(description="Number of the callback's attempt, from 1.")]
    scheduler_id: int
    task_id: Annotated[int, Meta(description="Id of the callback.")]
    cdr: Annotated[list[CallPart], Meta(description="A's leg, then B's.")]


@get(
    "/{call_uuid:str}",
    opt={"permission": Permission.READ_QUEUES, "checks": [check_own_client], "errors": {404}},
    operation_id="getCall",
    summary="Get the record of a call",
)
async def get_call(request: JsonRequest) -> JsonResponse[CallHistoryResponse]:
    """Return the call of any attempt, running or ended. Calls of deleted callbacks are shown to auditors only."""
    context = context_of(request)
    return JsonResponse(
        _response(await context.api.services.call_history.get(_call_id_of(request), context.token_holder))
    )


def call_history_routers() -> list[Router]:
    """Return the routers of the call history, one for each base path."""
    return client_routers("call_history", get_call)


def _call_id_of(request: AnyRequest) -> UUID:
    text = request.path_params["call_uuid"]
    if not re.fullmatch(CALL_UUID, text):
        raise CallNotFound
    return UUID(text)


def _response(call: CallRecord) -> CallHistoryResponse:
    end, details = call.end, call.scheduled.personal
    return CallHistoryResponse(
        call_uuid=call.call_id,
        client_owner_id=call.organization_id,
        flow="out",
        init_time_gmt=format_utc(call.started_at),
        bridged_time_gmt=call.joined_at and format_utc(call.joined_at),
        hangup_time_gmt=call.ended_at and format_utc(call.ended_at),
        duration=_rounded(call.seconds),
        bridged_duration=_rounded(call.joined_seconds),
        from_username=details.a_number,
        to_username=details.b_number,
        bridged_username=details.b_number if call.is_joined else None,
        extension_id=call.scheduled.extension_id,
        result=None if call.outcome is None else _RESULTS[call.outcome],
        outcome=call.outcome,
        leg=end and end.leg,
        sip=end and end.sip,
        cause=end and end.cause,
        dial_status=end and end.dial_status,
        attempt=call.attempt,
        scheduler_id=call.scheduled.queue_id,
        task_id=call.callback_id,
        cdr=[
            CallPart(leg=leg, to_username=number, answered=call.answered(leg), result=_leg_result(call, leg))
            for leg, number in ((Leg.A, details.a_number), (Leg.B, details.b_number))
        ],
    )


def _leg_result(call: CallRecord, leg: Leg) -> Result | None:
    outcome = call.leg_result(leg)
    if outcome is None:
        return None
    return "answered" if outcome is Outcome.SUCCESS and not call.is_joined else _RESULTS[outcome]


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
