"""Settings of a deployment for webhooks."""

import msgspec

from application.webhook_targets import TargetPolicy


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a deployment for webhooks; times are in seconds.

    ``secrets_key`` are 32 bytes that encrypt the secrets; without it, secrets can be neither stored nor read.
    """

    targets: TargetPolicy = TargetPolicy()
    timeout: float = 15.0
    before_wait: float = 3.0
    secrets_key: bytes | None = None
