"""``/client/{client_id}/call_history/{call_uuid}``: what is known of a call (contract 2, ``cdr``).

Names are those of the sibling API's call history wherever the record knows the fact; the others are ours.
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
from domain.values import Permission
from interfaces.api.routes.queue_times import format_utc
from interfaces.api.web.authentication import authorize
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.error_responses import exception_handlers, format_queues_error
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.path_params import CLIENT_BASE_PATHS, check_own_client

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
}


class CallPart(msgspec.Struct, frozen=True, kw_only=True):
    """A leg of a call: ``answered`` is null until it is known, ``result`` for a phone that was not rung, too."""

    leg: Leg
    to_username: Annotated[str, Meta(description="The number that is called.")]
    answered: bool | None
    result: Result | None


class CallHistoryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A call. Every key is always there; what has not happened, or nobody knows, is null."""

    call_uuid: str
    client_owner_id: Annotated[int, Meta(description="The organisation's number.")]
    flow: Literal["out"]
    init_time_gmt: Annotated[str, Meta(description="When the attempt was started, in UTC.")]
    bridged_time_gmt: Annotated[str | None, Meta(description="When A and B were joined, in UTC.")]
    hangup_time_gmt: Annotated[str | None, Meta(description="When the end was put on record, in UTC.")]
    duration: Annotated[int | None, Meta(description="Seconds from the start to the end.")]
    bridged_duration: Annotated[int | None, Meta(description="Seconds for which A and B were joined.")]
    from_username: Annotated[str, Meta(description="A's number.")]
    to_username: Annotated[str, Meta(description="B's number.")]
    bridged_username: Annotated[str | None, Meta(description="B's number, when A and B were joined.")]
    extension_id: int | None
    result: Result | None
    outcome: Outcome | None
    leg: Annotated[Leg | None, Meta(description="The leg that decided how the call ended.")]
    sip: Annotated[str | None, Meta(description="The SIP status line that decided.")]
    cause: Annotated[int | None, Meta(description="The Q.850 cause.")]
    dial_status: Annotated[str | None, Meta(description="The switch's own word for how B's leg ended.")]
    attempt: Annotated[int, Meta(description="Which attempt of the callback the call is, from 1.")]
    scheduler_id: int
    task_id: Annotated[int, Meta(description="The callback.")]
    cdr: Annotated[list[CallPart], Meta(description="A's leg, then B's.")]


@get(
    "/{call_uuid:str}",
    opt={"permission": Permission.READ_QUEUES, "checks": [check_own_client], "refusals": {404}},
    operation_id="getCall",
    summary="What is known of a call",
)
async def get_call(request: JsonRequest) -> JsonResponse[CallHistoryResponse]:
    """Answer the call of any attempt, running or ended. Those of deleted callbacks are shown to auditors only."""
    context = context_of(request)
    return JsonResponse(_answer(await context.api.services.call_history.get(_call_id_of(request), context.member)))


def call_history_routers() -> list[Router]:
    """Answer the route at each base path of contract 2; the first is the one in the document."""
    return [
        Router(
            f"{base}/{{client_id:str}}/call_history",
            route_handlers=[get_call],
            before_request=authorize,
            exception_handlers=exception_handlers(format_queues_error),
            include_in_schema=base == CLIENT_BASE_PATHS[0],
            tags=["callbacks"],
        )
        for base in CLIENT_BASE_PATHS
    ]


def _call_id_of(request: AnyRequest) -> UUID:
    text = request.path_params["call_uuid"]
    if not re.fullmatch(CALL_UUID, text):
        raise CallNotFound
    return UUID(text)


def _answer(call: CallRecord) -> CallHistoryResponse:
    end, details = call.end, call.scheduled.personal
    talked = end.seconds if end and call.is_joined else None
    return CallHistoryResponse(
        call_uuid=call.call_id,
        client_owner_id=call.organization_id,
        flow="out",
        init_time_gmt=format_utc(call.started_at),
        bridged_time_gmt=call.joined_at and format_utc(call.joined_at),
        hangup_time_gmt=call.ended_at and format_utc(call.ended_at),
        duration=_rounded(call.seconds),
        bridged_duration=_rounded(talked),
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
            CallPart(leg=leg, to_username=number, answered=call.answered(leg), result=_result(call, leg))
            for leg, number in ((Leg.A, details.a_number), (Leg.B, details.b_number))
        ],
    )


def _result(call: CallRecord, leg: Leg) -> Result | None:
    """Answer how the leg came out: B's phone was not rung when A's was not answered."""
    answered = call.answered(leg)
    if call.outcome is None or answered is None or (leg is Leg.B and not call.answered(Leg.A)):
        return None
    return "answered" if answered and not call.is_joined else _RESULTS[call.outcome]


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
