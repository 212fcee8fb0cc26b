"""Idempotency-Keys: what a request claims, and whether that was claimed before."""

import hashlib

from application.callers import Request
from application.errors import KeyReused
from application.ports.event_log import EventLog, IdempotencyKey, IdempotencyRecord


def idempotency_key_of(request: Request, scope: str) -> IdempotencyKey | None:
    """Answer what the request's key claims, if it has one; ``scope`` names whose key it is."""
    if request.idempotency_key is None:
        return None
    digest = hashlib.sha256(f"{scope}\0{request.idempotency_key}".encode()).digest()
    return IdempotencyKey(digest=digest, fingerprint=request.fingerprint)


async def answered(log: EventLog, idempotency_key: IdempotencyKey | None) -> IdempotencyRecord | None:
    """Answer what the claim has done, if anything. Raises KeyReused when it was done for another request."""
    claimed = await log.idempotency_record(idempotency_key.digest) if idempotency_key else None
    if idempotency_key and claimed and claimed.fingerprint != idempotency_key.fingerprint:
        raise KeyReused
    return claimed
