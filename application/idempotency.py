"""Idempotency-Keys: what a request claims, and whether that was claimed before."""

import hashlib

from application.callers import Request
from application.errors import KeyReused
from application.ports.event_log import Claim, Claimed, EventLog


def claim_of(request: Request, scope: str) -> Claim | None:
    """Answer what the request's key claims, if it has one; ``scope`` names whose key it is."""
    if request.idempotency_key is None:
        return None
    digest = hashlib.sha256(f"{scope}\0{request.idempotency_key}".encode()).digest()
    return Claim(digest=digest, fingerprint=request.fingerprint)


async def answered(log: EventLog, claim: Claim | None) -> Claimed | None:
    """Answer what the claim has done, if anything. Raises KeyReused when it was done for another request."""
    claimed = await log.claimed(claim.digest) if claim else None
    if claim and claimed and claimed.fingerprint != claim.fingerprint:
        raise KeyReused
    return claimed
