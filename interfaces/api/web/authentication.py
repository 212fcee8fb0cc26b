"""Who asks, and whether they may: asked by every router that needs an answer to that (contract 1, Errors).

A route says in ``opt`` what it needs: ``permission``; ``open`` when it is served without a token too; ``checks`` for what
else comes before its body. A route that says nothing is refused. (Guards of the framework would do the same, but they
copy the route for each request, which costs a fifth of it.)
"""

import hmac
import re
from datetime import UTC, datetime

from application.callers import Caller
from application.ids import digest_of
from application.ports.event_log import TokenHolder
from interfaces.api.web.context import AnyRequest, Api, Visit, visit_of
from interfaces.api.web.rate_limit import address_key
from interfaces.api.web.request_errors import Forbidden, Unauthenticated

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +pz_([0-9A-Za-z]{1,64})_([0-9A-Za-z]{1,128}) *")
_NOBODYS_DIGEST = digest_of("")


async def admit(request: AnyRequest) -> None:
    """Let the request in, and note its caller.

    Raises Unauthenticated, Forbidden, TooManyRequests, and what the route's checks raise. A token pays for its request;
    without a valid one the address pays, before anything of the body is read.
    """
    if request.scope["method"] == "OPTIONS":
        return
    visit, needs = visit_of(request), request.route_handler.opt
    api, header = visit.api, visit.headers.get(b"authorization")
    if header is None:
        charge_address(request, visit)
        if not needs.get("open"):
            raise Unauthenticated
    else:
        visit.caller = await _caller(api, header)
        if visit.caller is None:
            charge_address(request, visit)
            raise Unauthenticated
        api.tokens_used.add(visit.caller.token_id)
        if api.limits.on:
            visit.standing = api.limits.tokens.take(visit.caller.token_id)
        if not visit.caller.may(needs["permission"]):
            raise Forbidden
    for check in needs.get("checks", ()):
        await check(request)


def charge_address(request: AnyRequest, visit: Visit) -> None:
    """Let the address pay for the request. Raises TooManyRequests."""
    if visit.api.limits.on:
        visit.paying_address = address_key(request.client.host if request.client else "")
        visit.standing = visit.api.limits.addresses.take(visit.paying_address)


def charge_operator(visit: Visit, organization_id: int, number: int) -> None:
    """Let the operator pay instead of the address. Raises TooManyRequests."""
    limits = visit.api.limits
    if not limits.on:
        return
    if visit.paying_address is not None:
        limits.addresses.give_back(visit.paying_address)
    visit.standing = limits.operators.take(f"{organization_id}/{number}")


async def _caller(api: Api, header: bytes) -> Caller | None:
    given = _BEARER.fullmatch(header)
    if given is None:
        return None
    token_id, secret = given[1].decode(), given[2].decode()
    holder = await api.services.directory.token(token_id)
    # An unknown id costs the same comparison: the time of the answer tells nothing.
    is_secret = hmac.compare_digest(holder.secret_hash if holder else _NOBODYS_DIGEST, digest_of(secret))
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
