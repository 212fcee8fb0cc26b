"""Who asks, and whether they may: the guard of every router that needs an answer to that (contract 1, Errors).

A route says in ``opt`` what it needs: ``permission``, and ``open`` when it is served without a token too. A route that says
nothing is refused.
"""

import hmac
import re
from datetime import UTC, datetime

from litestar.handlers import BaseRouteHandler

from application.callers import Caller
from application.ids import digest_of
from application.ports import TokenHolder
from interfaces.api.context import Api, Connection, Visit, visit_of
from interfaces.api.faults import Forbidden, Unauthenticated
from interfaces.api.rate_limit import address_key

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +pz_([0-9A-Za-z]{1,64})_([0-9A-Za-z]{1,128}) *")
_NOBODYS_DIGEST = digest_of("")


async def authorize(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let the request in, and note its caller.

    Raises Unauthenticated, Forbidden and TooManyRequests. A token pays for its request; without a valid one the address
    pays, before anything of the body is read.
    """
    if connection.scope["type"] == "http" and connection.scope["method"] == "OPTIONS":
        return
    visit = visit_of(connection)
    api, header = visit.api, connection.headers.get("authorization")
    if header is None:
        charge_address(connection, visit)
        if handler.opt.get("open"):
            return
        raise Unauthenticated
    visit.caller = await _caller(api, header)
    if visit.caller is None:
        charge_address(connection, visit)
        raise Unauthenticated
    api.tokens_used.add(visit.caller.token_id)
    if api.limits.on:
        visit.standing = api.limits.tokens.take(visit.caller.token_id)
    if not visit.caller.may(handler.opt["permission"]):
        raise Forbidden


def charge_address(connection: Connection, visit: Visit) -> None:
    """Let the address pay for the request. Raises TooManyRequests."""
    if visit.api.limits.on:
        visit.paying_address = address_key(connection.client.host if connection.client else "")
        visit.standing = visit.api.limits.addresses.take(visit.paying_address)


def charge_operator(visit: Visit, organization_id: int, number: int) -> None:
    """Let the operator pay instead of the address. Raises TooManyRequests."""
    limits = visit.api.limits
    if not limits.on:
        return
    if visit.paying_address is not None:
        limits.addresses.give_back(visit.paying_address)
    visit.standing = limits.operators.take(f"{organization_id}/{number}")


async def _caller(api: Api, header: str) -> Caller | None:
    given = _BEARER.fullmatch(header)
    if given is None:
        return None
    holder = await api.services.directory.token(given[1])
    # An unknown id costs the same comparison: the time of the answer tells nothing.
    is_secret = hmac.compare_digest(holder.secret_hash if holder else _NOBODYS_DIGEST, digest_of(given[2]))
    if holder is None or not is_secret or not _is_valid(holder):
        return None
    return Caller(
        organization_id=holder.organization_id,
        token_id=holder.token_id,
        role=holder.role,
        member_id=holder.member_id,
    )


def _is_valid(holder: TokenHolder) -> bool:
    return holder.revoked_at is None and (holder.expires_at is None or datetime.now(UTC) < holder.expires_at)
