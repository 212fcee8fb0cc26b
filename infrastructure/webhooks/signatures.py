"""Signatures of Standard Webhooks: v1, HMAC-SHA256 (https://github.com/standard-webhooks/standard-webhooks)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence

PREFIX = "whsec_"
KEY_BYTES = 32


def secret_of(key: bytes) -> str:
    """Return the key as the secret that receivers are given."""
    return PREFIX + b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """Return the key of a secret. Raises ValueError."""
    return b64decode(secret.removeprefix(PREFIX), validate=True)


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``: a signature with each of the keys, over id, Unix time and body."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}" for key in keys)
