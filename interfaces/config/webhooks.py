"""Webhook options from the settings of a deployment."""

from base64 import b64decode

from application.webhook_options import WebhookOptions
from application.webhook_targets import TargetPolicy, networks_of
from interfaces.config.settings import BadSetting, Settings

_KEY_BYTES = 32


def webhook_options(settings: Settings, fallback_key: str | None = None) -> WebhookOptions:
    """Return the webhook options of the settings; ``fallback_key``, in base64, is used if they name no key.

    Raises BadSetting.
    """
    return WebhookOptions(
        targets=TargetPolicy(
            allowed=networks_of(settings.webhook_allow_nets),
            denied=networks_of(settings.webhook_deny_nets),
        ),
        timeout=settings.webhook_timeout_seconds,
        before_wait=settings.webhook_before_seconds,
        secrets_key=_key(settings.secrets_key or fallback_key),
    )


def _key(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise BadSetting(
            "PEREZVON_SECRETS_KEY: expected 32 random bytes in base64"
        )  # without the value: it is a secret
    return key
