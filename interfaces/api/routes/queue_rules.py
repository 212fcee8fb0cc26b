"""``/v1/queues/{queue_id}/rules``: calling rules of a queue, beyond ``docs/contracts/task_scheduler.md``."""

from typing import Annotated

import msgspec
from litestar import Router, get, put
from litestar.params import JSONBody, PathParameter

from application.callback_queues import QueueResult
from application.queue_rules import EffectivePolicy, effective_policy
from domain.callback.events import Leg
from domain.callback.retry_policy import RetryPolicy
from domain.callback_queue.events import CallingRules
from domain.organization.events import Settings
from domain.permissions import Permission
from interfaces.api.web.context import RequestContext, context_of
from interfaces.api.web.field_types import NUMBER_MAX
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.routers import v1_router
from interfaces.config.retry_policies import ChosenPolicy, policy_of

QueueId = Annotated[int, PathParameter(ge=1, le=NUMBER_MAX)]
ClientLeg = Annotated[
    Leg | None,
    msgspec.Meta(
        description="The client's leg: while a call with the number of that leg runs, no other call with it starts."
        " null: no such limit."
    ),
]


class QueueRulesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules of a queue. ``retry_policy`` null means the organisation's policy."""

    retry_policy: ChosenPolicy | None
    client_leg: ClientLeg


class QueueRulesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a queue, and the retry policy in effect."""

    retry_policy: RetryPolicy | None
    client_leg: ClientLeg
    effective: EffectivePolicy


@get(
    "/queues/{queue_id:str}/rules",
    opt={"permission": Permission.READ_QUEUES, "errors": {404}, "response_headers": ["Perezvon-Position"]},
    operation_id="getQueueRules",
    summary="Get the calling rules of a queue",
)
async def get_rules(request: JsonRequest, queue_id: QueueId) -> JsonResponse[QueueRulesResponse]:
    """Return the current rules."""
    context = context_of(request)
    return await _response(context, await context.api.services.queues.get(queue_id, context.organization_id))


@put(
    "/queues/{queue_id:str}/rules",
    opt={"permission": Permission.CHANGE_QUEUES, "errors": {404, 409}, "response_headers": ["Perezvon-Position"]},
    operation_id="chooseQueueRules",
    summary="Replace the calling rules of a queue",
)
async def choose_rules(
    request: JsonRequest, queue_id: QueueId, data: JSONBody[QueueRulesBody]
) -> JsonResponse[QueueRulesResponse]:
    """Replace all rules of the queue. They apply to attempts that fail from now on; running calls are not affected."""
    context = context_of(request)
    rules = CallingRules(retry_policy=policy_of(data.retry_policy), client_leg=data.client_leg)
    chosen = await context.api.services.queues.choose_rules(queue_id, rules, context.command_request())
    context.api.written_positions.record(context.organization_id, chosen.position)
    return await _response(context, chosen)


def queue_rules_router() -> Router:
    """Return the router of calling rules."""
    return v1_router("callbacks", get_rules, choose_rules)


async def _response(context: RequestContext, shown: QueueResult) -> JsonResponse[QueueRulesResponse]:
    rules = shown.queue.rules
    organization = await context.api.services.directory.organization(context.organization_id)
    body = QueueRulesResponse(
        retry_policy=rules.retry_policy,
        client_leg=rules.client_leg,
        effective=effective_policy(rules, organization.settings if organization else Settings()),
    )
    return JsonResponse(body, {"Perezvon-Position": str(shown.position)})
