"""``/v1/webhook-deliveries`` and ``/v1/webhook-secret``: what became of webhooks, and what signs them."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from application.errors import DeliveryNotFound
from application.ports.webhooks import AttemptRow, DeliveryFilter, DeliveryRow, DeliveryState
from domain.limits import SECRET_OVERLAP_MAX_S
from domain.values import Permission
from interfaces.api.routes.administration import no_idempotency_key
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.request_errors import FieldError, InvalidRequest
from interfaces.api.web.routers import v1_router

_NUMBER_MAX = 2**53 - 1
_ID = "^msg_[0-9a-f]{32}$"
_DAY = 86_400
_READING = {"permission": Permission.READ_WEBHOOKS}
_ADMINS = {"permission": Permission.ADMINISTER, "errors": {404, 409}}

DeliveryId = Annotated[str, PathParameter(schema_extra={"pattern": _ID})]


class DeliveryListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are asked for."""

    callback: Annotated[int, Meta(ge=1, le=_NUMBER_MAX, description="Of that callback.")] | None = None
    state: DeliveryState | None = None
    after: Annotated[int, Meta(ge=0, le=_NUMBER_MAX, description="After that number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class DeliveriesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, oldest first; ``next`` is the ``after`` that goes on, null at the end."""

    items: list[DeliveryRow]
    next: int | None


class AttemptsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of a delivery, oldest first. ``answer`` is how the receiver's body began."""

    items: list[AttemptRow]


class RotateSecretBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long the old secret signs beside the new one."""

    overlap_s: Annotated[int, Meta(ge=0, le=SECRET_OVERLAP_MAX_S, description="Seconds.")] = _DAY


class WebhookSecretResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that signs the organisation's webhooks: ``whsec_`` and 32 bytes in base64."""

    secret: str


async def resend_is_repeatable(request: AnyRequest) -> None:
    """Refuse an Idempotency-Key rather than seem to honour it. Raises RequestInvalid."""
    if b"idempotency-key" in context_of(request).headers:
        message = "Not honoured here: sent again twice it is still one message, with one id"
        raise InvalidRequest([FieldError(("header", "Idempotency-Key"), message, "not_supported")])


@get(
    "/webhook-deliveries",
    opt={**_READING, "query": DeliveryListQuery},
    operation_id="listWebhookDeliveries",
    summary="Webhooks, and what became of them",
)
async def list_deliveries(request: JsonRequest) -> JsonResponse[DeliveriesResponse]:
    """Answer the organisation's deliveries of the last 30 days."""
    context, query = context_of(request), decode_params(request, DeliveryListQuery)
    wanted = DeliveryFilter(callback_id=query.callback, state=query.state)
    items = list(
        await context.api.services.webhook_deliveries.page(
            context.organization_id, wanted, after=query.after, limit=query.limit
        )
    )
    return JsonResponse(DeliveriesResponse(items=items, next=items[-1].number if len(items) == query.limit else None))


@get(
    "/webhook-deliveries/{delivery_id:str}",
    opt={**_READING, "errors": {404}},
    operation_id="getWebhookDelivery",
    summary="A webhook, and what became of it",
)
async def get_delivery(request: JsonRequest, delivery_id: DeliveryId) -> JsonResponse[DeliveryRow]:
    """Answer the delivery as it stands now."""
    context = context_of(request)
    return JsonResponse(await context.api.services.webhook_deliveries.one(context.organization_id, _known(delivery_id)))


@get(
    "/webhook-deliveries/{delivery_id:str}/attempts",
    opt={**_READING, "errors": {404}},
    operation_id="listWebhookAttempts",
    summary="Every attempt to deliver a webhook",
)
async def list_attempts(request: JsonRequest, delivery_id: DeliveryId) -> JsonResponse[AttemptsResponse]:
    """Answer the attempts: when, how long they took, what the receiver answered."""
    context = context_of(request)
    found = await context.api.services.webhook_deliveries.attempts(context.organization_id, _known(delivery_id))
    return JsonResponse(AttemptsResponse(items=list(found)))


@post(
    "/webhook-deliveries/{delivery_id:str}/resend",
    opt={"permission": Permission.CHANGE_QUEUES, "errors": {404}, "checks": [resend_is_repeatable]},
    status_code=202,
    operation_id="resendWebhook",
    summary="Send a webhook again",
)
async def resend(request: JsonRequest, delivery_id: DeliveryId) -> JsonResponse[DeliveryRow]:
    """Have the same message sent again at once, and on a new schedule if that fails."""
    context = context_of(request)
    again = await context.api.services.webhook_deliveries.resend(context.organization_id, _known(delivery_id))
    return JsonResponse(again, status_code=202)


@get(
    "/webhook-secret",
    opt={**_ADMINS, "errors": {404}},
    operation_id="getWebhookSecret",
    summary="The secret that signs webhooks",
)
async def get_secret(request: JsonRequest) -> JsonResponse[WebhookSecretResponse]:
    """Answer the current secret; it is made when first asked for."""
    context = context_of(request)
    return JsonResponse(
        WebhookSecretResponse(secret=await context.api.services.webhook_secrets.current(context.organization_id))
    )


@post(
    "/webhook-secret/rotate",
    opt={**_ADMINS, "checks": [no_idempotency_key]},
    status_code=200,
    operation_id="rotateWebhookSecret",
    summary="Sign webhooks with a new secret",
)
async def rotate_secret(request: JsonRequest, data: JSONBody[RotateSecretBody]) -> JsonResponse[WebhookSecretResponse]:
    """Answer a new secret; until the overlap is over each webhook carries signatures with both."""
    context = context_of(request)
    secret = await context.api.services.webhook_secrets.rotate(
        context.organization_id, data.overlap_s, context.command_request()
    )
    return JsonResponse(WebhookSecretResponse(secret=secret))


def webhooks_router() -> Router:
    """Answer the routes of webhooks."""
    return v1_router("webhooks", list_deliveries, get_delivery, list_attempts, resend, get_secret, rotate_secret)


def _known(delivery_id: str) -> str:
    """Answer the id, which may reach the database. Raises DeliveryNotFound for what is none."""
    if len(delivery_id) > 100 or "\0" in delivery_id:  # noqa: PLR2004 - longer than any id
        raise DeliveryNotFound
    return delivery_id
