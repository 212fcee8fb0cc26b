"""Verification of webhooks (https://www.standardwebhooks.com), and their effect on a customer."""

from typing import Any

from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from .customers import State, Webhook


class WebhookForged(Exception):
    """The signature or the time of a webhook is wrong, or its content cannot be read."""


def verify(secret: str, headers: dict[str, str], body: bytes) -> Webhook:
    """Return the webhook if it is genuine.

    The library compares in constant time, accepts timestamps within five minutes of now, and accepts any of several
    signatures: during the rotation of a secret, perezvon signs with the old and the new one.

    Args:
        secret: the secret of the organisation, `whsec_…`.
        headers: the received headers; the case of their names does not matter.
        body: the received bytes: the signature covers exactly these.

    Raises:
        WebhookForged: it is not from perezvon, or too old. Its content must not be used.
    """
    try:
        message = StandardWebhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError) as error:  # ValueError: malformed signatures and texts
        raise WebhookForged(str(error)) from error
    return _read(next(value for name, value in headers.items() if name.lower() == "webhook-id"), message)


def _read(webhook_id: str, message: dict[str, Any]) -> Webhook:
    """Return the fields that the CRM uses; docs/webhooks.md describes all of them."""
    data = message["data"]
    state, reason = _outcome(message["type"], data)
    return Webhook(
        id=webhook_id,
        customer_id=data.get("name", ""),  # it is signed; the path of our URL is not
        callback_id=data["callback_id"],
        sequence=message["sequence"],
        state=state,
        attempts=data.get("attempt"),
        reason=reason,
    )


def _outcome(event: str, data: dict[str, Any]) -> tuple[State | None, str | None]:
    """Return the new state of the customer after an event, and the reason of a failure."""
    match event:
        case "callback.attempt_started.v1":
            return State.CALLING, None
        case "callback.attempt_succeeded.v1":
            return State.REACHED, None
        case "callback.finished.v1" if data["result"] == "success":
            return State.REACHED, None
        case "callback.finished.v1":
            return State.FAILED, data.get("comment")
        case "callback.cancelled.v1":
            return State.CANCELLED, None
        case _:
            return None, None
