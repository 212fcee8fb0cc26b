"""Settings of a deployment for webhooks."""

import msgspec

from application.webhook_targets import Network


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a deployment for webhooks; times are in seconds.

    ``allowed_networks`` are private networks that webhooks can reach all the same. ``secrets_key`` are 32 bytes that encrypt the
    secrets; without it, a key in the database encrypts them.
    """

    allowed_networks: tuple[Network, ...] = ()
    timeout: float = 15.0
    before_wait: float = 3.0
    secrets_key: bytes | None = None
