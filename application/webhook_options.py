"""Settings of a deployment for webhooks."""

import msgspec

from application.webhook_targets import Network


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment sets for webhooks; times are in seconds.

    ``opened`` are private networks that may be reached all the same. ``secrets_key`` are 32 bytes that seal secrets;
    without it a key in the database does.
    """

    opened: tuple[Network, ...] = ()
    timeout: float = 15.0
    before_wait: float = 3.0
    secrets_key: bytes | None = None
