"""``/v1/webhook-deliveries`` and ``/v1/webhook-secret``: what became of webhooks, and what signs them."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from application.callers import Request
from application.ports.webhooks import AttemptRow, DeliveryFilter, DeliveryNotFound, DeliveryRow, DeliveryState
from domain.organization.organization import OVERLAP_MAX
from domain.values import Permission
from interfaces.api.routes.administration import no_idempotency_key
from interfaces.api.web.authentication import admit
from interfaces.api.web.context import AnyRequest, visit_of
from interfaces.api.web.error_responses import handlers, own_dialect
from interfaces.api.web.json_body import CheckedRequest
from interfaces.api.web.json_response import Answer
from interfaces.api.web.query_params import asked_for
from interfaces.api.web.request_errors import Fault, RequestInvalid

_NUMBER_MAX = 2**53 - 1
_ID = "^msg_[0-9a-f]{32}$"
_DAY = 86_400
_READING = {"permission": Permission.READ_WEBHOOKS}
_ADMINS = {"permission": Permission.ADMINISTER, "refusals": {404, 409}}

DeliveryId = Annotated[str, PathParameter(schema_extra={"pattern": _ID})]


class DeliveryListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are asked for."""

    callback: Annotated[int, Meta(ge=1, le=_NUMBER_MAX, description="Of that callback.")] | None = None
    state: DeliveryState | None = None
    after: Annotated[int, Meta(ge=0, le=_NUMBER_MAX, description="After that number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class DeliveriesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, oldest first; ``next`` is the ``after`` that goes on, null at the end."""

    items: list[DeliveryRow]
    next: int | None


class AttemptsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of a delivery, oldest first. ``answer`` is how the receiver's body began."""

    items: list[AttemptRow]


class RotateSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long the old secret signs beside the new one."""

    overlap_s: Annotated[int, Meta(ge=0, le=OVERLAP_MAX, description="Seconds.")] = _DAY


class SecretAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that signs the organisation's webhooks: ``whsec_`` and 32 bytes in base64."""

    secret: str


async def resend_is_repeatable(request: AnyRequest) -> None:
    """Refuse an Idempotency-Key rather than seem to honour it. Raises RequestInvalid."""
    if b"idempotency-key" in visit_of(request).headers:
        message = "Not honoured here: sent again twice it is still one message, with one id"
        raise RequestInvalid([Fault(("header", "Idempotency-Key"), message, "not_supported")])


@get(
    "/webhook-deliveries",
    opt={**_READING, "query": DeliveryListQuery},
    operation_id="listWebhookDeliveries",
    summary="Webhooks, and what became of them",
)
async def list_deliveries(request: CheckedRequest) -> Answer[DeliveriesAnswer]:
    """Answer the organisation's deliveries of the last 30 days."""
    visit, asked = visit_of(request), asked_for(request, DeliveryListQuery)
    wanted = DeliveryFilter(callback_id=asked.callback, state=asked.state)
    items = list(
        await visit.api.services.webhook_deliveries.page(
            visit.member.organization_id, wanted, after=asked.after, limit=asked.limit
        )
    )
    return Answer(DeliveriesAnswer(items=items, next=items[-1].number if len(items) == asked.limit else None))


@get(
    "/webhook-deliveries/{delivery_id:str}",
    opt={**_READING, "refusals": {404}},
    operation_id="getWebhookDelivery",
    summary="A webhook, and what became of it",
)
async def get_delivery(request: CheckedRequest, delivery_id: DeliveryId) -> Answer[DeliveryRow]:
    """Answer the delivery as it stands now."""
    visit = visit_of(request)
    return Answer(await visit.api.services.webhook_deliveries.one(visit.member.organization_id, _known(delivery_id)))


@get(
    "/webhook-deliveries/{delivery_id:str}/attempts",
    opt={**_READING, "refusals": {404}},
    operation_id="listWebhookAttempts",
    summary="Every attempt to deliver a webhook",
)
async def list_attempts(request: CheckedRequest, delivery_id: DeliveryId) -> Answer[AttemptsAnswer]:
    """Answer the attempts: when, how long they took, what the receiver answered."""
    visit = visit_of(request)
    found = await visit.api.services.webhook_deliveries.attempts(visit.member.organization_id, _known(delivery_id))
    return Answer(AttemptsAnswer(items=list(found)))


@post(
    "/webhook-deliveries/{delivery_id:str}/resend",
    opt={"permission": Permission.CHANGE_QUEUES, "refusals": {404}, "checks": [resend_is_repeatable]},
    status_code=202,
    operation_id="resendWebhook",
    summary="Send a webhook again",
)
async def resend(request: CheckedRequest, delivery_id: DeliveryId) -> Answer[DeliveryRow]:
    """Have the same message sent again at once, and on a new schedule if that fails."""
    visit = visit_of(request)
    again = await visit.api.services.webhook_deliveries.resend(visit.member.organization_id, _known(delivery_id))
    return Answer(again, status_code=202)


@get(
    "/webhook-secret",
    opt={**_ADMINS, "refusals": {404}},
    operation_id="getWebhookSecret",
    summary="The secret that signs webhooks",
)
async def get_secret(request: CheckedRequest) -> Answer[SecretAnswer]:
    """Answer the current secret; it is made when first asked for."""
    visit = visit_of(request)
    return Answer(SecretAnswer(secret=await visit.api.services.webhook_secrets.current(visit.member.organization_id)))


@post(
    "/webhook-secret/rotate",
    opt={**_ADMINS, "checks": [no_idempotency_key]},
    status_code=200,
    operation_id="rotateWebhookSecret",
    summary="Sign webhooks with a new secret",
)
async def rotate_secret(request: CheckedRequest, data: JSONBody[RotateSecret]) -> Answer[SecretAnswer]:
    """Answer a new secret; until the overlap is over each webhook carries signatures with both."""
    visit = visit_of(request)
    asked = Request(request_id=visit.request_id, caller=visit.caller)
    secret = await visit.api.services.webhook_secrets.rotate(visit.member.organization_id, data.overlap_s, asked)
    return Answer(SecretAnswer(secret=secret))


def webhooks_router() -> Router:
    """Answer the routes of webhooks."""
    return Router(
        "/v1",
        route_handlers=[list_deliveries, get_delivery, list_attempts, resend, get_secret, rotate_secret],
        before_request=admit,
        exception_handlers=handlers(own_dialect),
        tags=["webhooks"],
    )


def _known(delivery_id: str) -> str:
    """Answer the id, which may reach the database. Raises DeliveryNotFound for what is none."""
    if len(delivery_id) > 100 or "\0" in delivery_id:  # noqa: PLR2004 - longer than any id
        raise DeliveryNotFound
    return delivery_id
