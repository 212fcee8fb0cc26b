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
from application.ports.directory import TokenHolder
from interfaces.api.web.context import AnyRequest, ApiState, RequestContext, context_of
from interfaces.api.web.rate_limit import address_key
from interfaces.api.web.request_errors import Forbidden, Unauthenticated

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +pz_([0-9A-Za-z]{1,64})_([0-9A-Za-z]{1,128}) *")
_NOBODYS_DIGEST = digest_of("")


async def authorize(request: AnyRequest) -> None:
    """Let the request in, and note its caller.

    Raises Unauthenticated, Forbidden, TooManyRequests, and what the route's checks raise. A token pays for its request;
    without a valid one the address pays, before anything of the body is read.
    """
    if request.scope["method"] == "OPTIONS":
        return
    context, needs = context_of(request), request.route_handler.opt
    api, header = context.api, context.headers.get(b"authorization")
    if header is None:
        charge_address(request, context)
        if not needs.get("open"):
            raise Unauthenticated
    else:
        context.caller = await _caller(api, header)
        if context.caller is None:
            charge_address(request, context)
            raise Unauthenticated
        api.tokens_used.add(context.caller.token_id)
        if api.limits.on:
            context.rate_limit = api.limits.tokens.take(context.caller.token_id)
        if not context.caller.may(needs["permission"]):
            raise Forbidden
    for check in needs.get("checks", ()):
        await check(request)


def charge_address(request: AnyRequest, context: RequestContext) -> None:
    """Let the address pay for the request. Raises TooManyRequests."""
    if context.api.limits.on:
        context.paying_address = address_key(request.client.host if request.client else "")
        context.rate_limit = context.api.limits.addresses.take(context.paying_address)


def charge_operator(context: RequestContext, organization_id: int, number: int) -> None:
    """Let the operator pay instead of the address. Raises TooManyRequests."""
    limits = context.api.limits
    if not limits.on:
        return
    if context.paying_address is not None:
        limits.addresses.refund(context.paying_address)
    context.rate_limit = limits.operators.take(f"{organization_id}/{number}")


async def _caller(api: ApiState, header: bytes) -> Caller | None:
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
