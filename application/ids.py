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


SHARD_BITS = 6
"""The low bits of a number are the shard in which it was drawn: 1 to 63; 0 is reserved."""

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648 §6


def shard_of(number: int) -> int:
    """Return the shard of an organisation, a queue or a callback, by its number."""
    return number % (1 << SHARD_BITS)


def new_operator_key(shard: int) -> str:
    """Return a new operator key: ``op_``, two base32 digits of the shard, 128 random bits. Shown once, stored as a hash."""
    return f"op_{_BASE32[shard >> 5]}{_BASE32[shard & 31]}{secrets.token_urlsafe(16)}"


def new_token_id(shard: int) -> str:
    """Return a new token id: 48 bits in hex, of which the low six are the shard.

    It identifies the token in the log and in lists, and is not a secret.
    """
    return f"{secrets.randbits(42) << SHARD_BITS | shard:012x}"


def new_token_secret() -> str:
    """Return a new token secret: 256 random bits in hex, shown once and stored as a hash."""
    return secrets.token_hex(32)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a random secret in hex. Random secrets do not need a slow password hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
