"""Ids and secrets: new ones, and the hashes of secrets."""

import hashlib
import secrets
import time
from uuid import uuid4


def uuid7() -> str:
    """Return a new UUIDv7 (RFC 9562 §5.7): time-ordered to the millisecond, 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_request_id() -> str:
    """Return a new id of a request as the event log records it: a UUID as 32 hex digits."""
    return uuid4().hex


def new_operator_key() -> str:
    """Return a new operator key: 128 random bits, shown once and stored as a hash."""
    return f"op_{secrets.token_urlsafe(16)}"


def new_token_id() -> str:
    """Return a new token id: it identifies the token in the log and in lists, and is not a secret."""
    return secrets.token_hex(6)


def new_token_secret() -> str:
    """Return a new token secret: 256 random bits in hex, shown once and stored as a hash."""
    return secrets.token_hex(32)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a random secret in hex. Random secrets do not need a slow password hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
