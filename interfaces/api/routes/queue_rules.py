"""``/v1/queues/{queue_id}/rules``: how a callback queue calls, beyond contract 2."""

from typing import Annotated, Literal

import msgspec
from litestar import Router, get, put
from litestar.params import JSONBody, PathParameter

from application.callback_queues import ChangedQueue
from application.callers import Request
from domain.callback.events import Leg
from domain.callback.retry_policy import RetryPolicy
from domain.callback_queue.events import CallingRules
from domain.organization.events import Settings
from domain.values import Permission
from interfaces.api.routes.queue_bodies import NUMBER_MAX
from interfaces.api.web.authentication import authorize
from interfaces.api.web.context import RequestContext, context_of
from interfaces.api.web.error_responses import exception_handlers, format_problem
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.config.retry_policies import ChosenPolicy, policy_of

QueueId = Annotated[int, PathParameter(ge=1, le=NUMBER_MAX)]
ClientLeg = Annotated[
    Leg | None,
    msgspec.Meta(
        description="The leg on which the client is: while a call with that number runs, no other is started."
        " null bounds nothing."
    ),
]


class QueueRulesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a queue, all of them; a ``retry_policy`` that is null is the organisation's default."""

    retry_policy: ChosenPolicy | None
    client_leg: ClientLeg


class EffectivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a failed attempt, and who says so; an empty policy is the contract's rule."""

    retry_policy: RetryPolicy
    source: Literal["queue", "organization", "contract"]


class QueueRulesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that the queue chose, and what is in force because of them."""

    retry_policy: RetryPolicy | None
    client_leg: ClientLeg
    effective: EffectivePolicy


@get(
    "/queues/{queue_id:str}/rules",
    opt={"permission": Permission.READ_QUEUES, "refusals": {404}},
    operation_id="getQueueRules",
    summary="How a callback queue calls, beyond the contract",
)
async def get_rules(request: JsonRequest, queue_id: QueueId) -> JsonResponse[QueueRulesResponse]:
    """Answer the rules as they are."""
    context = context_of(request)
    return await _answer(context, await context.api.services.queues.get(queue_id, context.member.organization_id))


@put(
    "/queues/{queue_id:str}/rules",
    opt={"permission": Permission.CHANGE_QUEUES, "refusals": {404, 409}},
    operation_id="chooseQueueRules",
    summary="Choose how a callback queue calls",
)
async def choose_rules(
    request: JsonRequest, queue_id: QueueId, data: JSONBody[QueueRulesBody]
) -> JsonResponse[QueueRulesResponse]:
    """Replace all rules of the queue. What fails from now on follows them; calls that run are left alone."""
    context = context_of(request)
    rules = CallingRules(retry_policy=policy_of(data.retry_policy), client_leg=data.client_leg)
    asked = Request(request_id=context.request_id, caller=context.caller)
    chosen = await context.api.services.queues.choose_rules(queue_id, rules, asked)
    context.api.written.note(context.member.organization_id, chosen.position)
    return await _answer(context, chosen)


def queue_rules_router() -> Router:
    """Answer the routes of calling rules."""
    return Router(
        "/v1",
        route_handlers=[get_rules, choose_rules],
        before_request=authorize,
        exception_handlers=exception_handlers(format_problem),
        tags=["callbacks"],
    )


async def _answer(context: RequestContext, shown: ChangedQueue) -> JsonResponse[QueueRulesResponse]:
    rules = shown.queue.rules
    organization = await context.api.services.directory.organization(context.member.organization_id)
    body = QueueRulesResponse(
        retry_policy=rules.retry_policy,
        client_leg=rules.client_leg,
        effective=_in_force(rules, organization.settings if organization else Settings()),
    )
    return JsonResponse(body, {"Perezvon-Position": str(shown.position)})


def _in_force(rules: CallingRules, settings: Settings) -> EffectivePolicy:
    if rules.retry_policy is not None:
        return EffectivePolicy(retry_policy=rules.retry_policy, source="queue")
    if settings.retry_policy is not None:
        return EffectivePolicy(retry_policy=settings.retry_policy, source="organization")
    return EffectivePolicy(retry_policy=RetryPolicy(), source="contract")
