"""Verification of webhooks (https://www.standardwebhooks.com) and what they mean for a customer."""

from typing import Any

from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from .customers import State, Webhook


class WebhookForged(Exception):
    """The signature or the time of a webhook is wrong, or what it carries cannot be read."""


def verify(secret: str, headers: dict[str, str], body: bytes) -> Webhook:
    """Return the webhook if it is genuine.

    The library compares in constant time, accepts timestamps within five minutes of now, and takes any one of several
    signatures: while a secret is rotated, perezvon signs with the old and the new one.

    Args:
        secret: the organisation's, `whsec_…`.
        headers: as they were received; the case of their names does not matter.
        body: the bytes as they were received, for these are what is signed.

    Raises:
        WebhookForged: it is not from perezvon, or too old. Nothing of it may be used.
    """
    try:
        message = StandardWebhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError) as error:  # ValueError: of malformed signatures and texts
        raise WebhookForged(str(error)) from error
    return _read(next(value for name, value in headers.items() if name.lower() == "webhook-id"), message)


def _read(webhook_id: str, message: dict[str, Any]) -> Webhook:
    """Return what the CRM reads of a message; docs/webhooks.md describes all of it."""
    data = message["data"]
    state, reason = _outcome(message["type"], data)
    return Webhook(
        id=webhook_id,
        customer_id=data.get("name", ""),  # signed, as the path of our URL is not
        callback_id=data["callback_id"],
        sequence=message["sequence"],
        state=state,
        attempts=data.get("attempt"),
        reason=reason,
    )


def _outcome(event: str, data: dict[str, Any]) -> tuple[State | None, str | None]:
    """Return the state into which an event brings the customer, and the reason of a failure."""
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
