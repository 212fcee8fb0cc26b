"""``/v1/webhook-deliveries`` and ``/v1/webhook-secret``: deliveries of webhooks, and the secret that signs them."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from application.errors import DeliveryNotFound
from application.ports.webhooks import AttemptRow, DeliveryFilter, DeliveryRow, DeliveryState
from domain.limits import SECRET_OVERLAP_MAX_S
from domain.permissions import Permission
from interfaces.api.web.context import context_of
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.preconditions import refuse_idempotency_key
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.routers import v1_router

_NUMBER_MAX = 2**53 - 1
_ID = "^msg_[0-9a-f]{32}$"
_DAY = 86_400
_RESEND_KEEPS_ID = refuse_idempotency_key("a webhook that is sent again keeps its message id")
_SECRET_NOT_STORED = refuse_idempotency_key("the response contains a secret, which is not stored with the key")
_READING = {"permission": Permission.READ_WEBHOOKS}
_ADMINS = {"permission": Permission.ADMINISTER, "errors": {404, 409}}

DeliveryId = Annotated[str, PathParameter(schema_extra={"pattern": _ID})]


class DeliveryListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The page of the list of deliveries, and its filters."""

    callback: Annotated[int, Meta(ge=1, le=_NUMBER_MAX, description="Only deliveries of this callback.")] | None = None
    state: DeliveryState | None = None
    after: Annotated[int, Meta(ge=0, le=_NUMBER_MAX, description="Only deliveries with a greater number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class DeliveriesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, oldest first; ``next`` is the ``after`` of the next page, null on the last page."""

    items: list[DeliveryRow]
    next: int | None


class AttemptsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of a delivery, oldest first. ``answer`` is the start of the receiver's response body."""

    items: list[AttemptRow]


class RotateSecretBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The period in which webhooks are signed with both the old and the new secret."""

    overlap_s: Annotated[int, Meta(ge=0, le=SECRET_OVERLAP_MAX_S, description="Seconds.")] = _DAY


class WebhookSecretResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that signs the organisation's webhooks: ``whsec_`` and 32 bytes in base64."""

    secret: str


@get(
    "/webhook-deliveries",
    opt={**_READING, "query": DeliveryListQuery},
    operation_id="listWebhookDeliveries",
    summary="List webhook deliveries",
)
async def list_deliveries(request: JsonRequest) -> JsonResponse[DeliveriesResponse]:
    """Return the organisation's deliveries of the last 30 days."""
    context, query = context_of(request), decode_params(request, DeliveryListQuery)
    filters = DeliveryFilter(callback_id=query.callback, state=query.state)
    items = list(
        await context.api.services.webhook_deliveries.page(
            context.organization_id, filters, after=query.after, limit=query.limit
        )
    )
    return JsonResponse(DeliveriesResponse(items=items, next=items[-1].number if len(items) == query.limit else None))


@get(
    "/webhook-deliveries/{delivery_id:str}",
    opt={**_READING, "errors": {404}},
    operation_id="getWebhookDelivery",
    summary="Get a webhook delivery",
)
async def get_delivery(request: JsonRequest, delivery_id: DeliveryId) -> JsonResponse[DeliveryRow]:
    """Return the current state of the delivery."""
    context = context_of(request)
    return JsonResponse(
        await context.api.services.webhook_deliveries.one(context.organization_id, _possible_id(delivery_id))
    )


@get(
    "/webhook-deliveries/{delivery_id:str}/attempts",
    opt={**_READING, "errors": {404}},
    operation_id="listWebhookAttempts",
    summary="List the attempts of a webhook delivery",
)
async def list_attempts(request: JsonRequest, delivery_id: DeliveryId) -> JsonResponse[AttemptsResponse]:
    """Return the attempts: time, duration, and the receiver's response."""
    context = context_of(request)
    found = await context.api.services.webhook_deliveries.attempts(context.organization_id, _possible_id(delivery_id))
    return JsonResponse(AttemptsResponse(items=list(found)))


@post(
    "/webhook-deliveries/{delivery_id:str}/resend",
    opt={"permission": Permission.CHANGE_QUEUES, "errors": {404}, "checks": [_RESEND_KEEPS_ID]},
    status_code=202,
    operation_id="resendWebhook",
    summary="Resend a webhook",
)
async def resend(request: JsonRequest, delivery_id: DeliveryId) -> JsonResponse[DeliveryRow]:
    """Send the same message again at once; if that fails, retries follow a new schedule."""
    context = context_of(request)
    delivery = await context.api.services.webhook_deliveries.resend(context.organization_id, _possible_id(delivery_id))
    return JsonResponse(delivery, status_code=202)


@get(
    "/webhook-secret",
    opt={**_ADMINS, "errors": {404}},
    operation_id="getWebhookSecret",
    summary="Get the secret that signs webhooks",
)
async def get_secret(request: JsonRequest) -> JsonResponse[WebhookSecretResponse]:
    """Return the current secret. The first request creates it."""
    context = context_of(request)
    return JsonResponse(
        WebhookSecretResponse(secret=await context.api.services.webhook_secrets.current(context.organization_id))
    )


@post(
    "/webhook-secret/rotate",
    opt={**_ADMINS, "checks": [_SECRET_NOT_STORED]},
    status_code=200,
    operation_id="rotateWebhookSecret",
    summary="Rotate the secret that signs webhooks",
)
async def rotate_secret(request: JsonRequest, data: JSONBody[RotateSecretBody]) -> JsonResponse[WebhookSecretResponse]:
    """Return a new secret. Until the overlap ends, each webhook carries signatures with both secrets."""
    context = context_of(request)
    secret = await context.api.services.webhook_secrets.rotate(
        context.organization_id, data.overlap_s, context.command_request()
    )
    return JsonResponse(WebhookSecretResponse(secret=secret))


def webhooks_router() -> Router:
    """Return the router of webhooks."""
    return v1_router("webhooks", list_deliveries, get_delivery, list_attempts, resend, get_secret, rotate_secret)


def _possible_id(delivery_id: str) -> str:
    """Return the id if it can be one, so that it may reach the database. Raises DeliveryNotFound."""
    if len(delivery_id) > 100 or "\0" in delivery_id:  # noqa: PLR2004 - longer than any id
        raise DeliveryNotFound
    return delivery_id
