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
from interfaces.api.web.authentication import admit
from interfaces.api.web.context import Visit, visit_of
from interfaces.api.web.error_responses import handlers, own_dialect
from interfaces.api.web.json_body import CheckedRequest
from interfaces.api.web.json_response import Answer
from interfaces.config.retry_policies import ChosenPolicy, policy_of

QueueId = Annotated[int, PathParameter(ge=1, le=NUMBER_MAX)]
ClientLeg = Annotated[
    Leg | None,
    msgspec.Meta(
        description="The leg on which the client is: while a call with that number runs, no other is started."
        " null bounds nothing."
    ),
]


class ChooseRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a queue, all of them; a ``retry_policy`` that is null is the organisation's default."""

    retry_policy: ChosenPolicy | None
    client_leg: ClientLeg


class PolicyInForce(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a failed attempt, and who says so; an empty policy is the contract's rule."""

    retry_policy: RetryPolicy
    source: Literal["queue", "organization", "contract"]


class RulesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that the queue chose, and what is in force because of them."""

    retry_policy: RetryPolicy | None
    client_leg: ClientLeg
    effective: PolicyInForce


@get(
    "/queues/{queue_id:str}/rules",
    opt={"permission": Permission.READ_QUEUES, "refusals": {404}},
    operation_id="getQueueRules",
    summary="How a callback queue calls, beyond the contract",
)
async def get_rules(request: CheckedRequest, queue_id: QueueId) -> Answer[RulesAnswer]:
    """Answer the rules as they are."""
    visit = visit_of(request)
    return await _answer(visit, await visit.api.services.queues.get(queue_id, visit.member.organization_id))


@put(
    "/queues/{queue_id:str}/rules",
    opt={"permission": Permission.CHANGE_QUEUES, "refusals": {404, 409}},
    operation_id="chooseQueueRules",
    summary="Choose how a callback queue calls",
)
async def choose_rules(request: CheckedRequest, queue_id: QueueId, data: JSONBody[ChooseRules]) -> Answer[RulesAnswer]:
    """Replace all rules of the queue. What fails from now on follows them; calls that run are left alone."""
    visit = visit_of(request)
    rules = CallingRules(retry_policy=policy_of(data.retry_policy), client_leg=data.client_leg)
    asked = Request(request_id=visit.request_id, caller=visit.caller)
    chosen = await visit.api.services.queues.choose_rules(queue_id, rules, asked)
    visit.api.written.note(visit.member.organization_id, chosen.position)
    return await _answer(visit, chosen)


def queue_rules_router() -> Router:
    """Answer the routes of calling rules."""
    return Router(
        "/v1",
        route_handlers=[get_rules, choose_rules],
        before_request=admit,
        exception_handlers=handlers(own_dialect),
        tags=["callbacks"],
    )


async def _answer(visit: Visit, shown: ChangedQueue) -> Answer[RulesAnswer]:
    rules = shown.queue.rules
    organization = await visit.api.services.directory.organization(visit.member.organization_id)
    body = RulesAnswer(
        retry_policy=rules.retry_policy,
        client_leg=rules.client_leg,
        effective=_in_force(rules, organization.settings if organization else Settings()),
    )
    return Answer(body, {"Perezvon-Position": str(shown.position)})


def _in_force(rules: CallingRules, settings: Settings) -> PolicyInForce:
    if rules.retry_policy is not None:
        return PolicyInForce(retry_policy=rules.retry_policy, source="queue")
    if settings.retry_policy is not None:
        return PolicyInForce(retry_policy=settings.retry_policy, source="organization")
    return PolicyInForce(retry_policy=RetryPolicy(), source="contract")
