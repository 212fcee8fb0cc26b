"""Authorization of requests: token, permission, rate limits and checks (``docs/contracts/tasks.md``, Errors).

Every router of ``routers.py`` calls ``authorize`` before the handler, which declares in ``opt`` what it needs. Guards of
the framework would do the same, but they copy the route for each request, which costs a fifth of the request's time.
"""

import hmac
import re
from datetime import UTC, datetime

from application.callers import Caller
from application.errors import Forbidden
from application.ids import digest_of
from application.ports.directory import TokenHolder
from interfaces.api.web.context import AnyRequest, ApiState, RequestContext, context_of
from interfaces.api.web.rate_limit import address_key
from interfaces.api.web.request_errors import Unauthenticated

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +pz_([0-9A-Za-z]{1,64})_([0-9A-Za-z]{1,128}) *")
_DIGEST_OF_NO_TOKEN = digest_of("")


async def authorize(request: AnyRequest) -> None:
    """Authorize the request and set the caller in its context.

    The token is charged for the request; without a valid token the address is charged, before the body is read.
    Raises Unauthenticated, Forbidden, TooManyRequests, and what the handler's checks raise.
    """
    if request.scope["method"] == "OPTIONS":
        return
    context, options = context_of(request), request.route_handler.opt
    api, header = context.api, context.headers.get(b"authorization")
    if header is None:
        charge_address(request, context)
        if not options.get("token_optional"):
            raise Unauthenticated
    else:
        context.caller = await _caller(api, header)
        if context.caller is None:
            charge_address(request, context)
            raise Unauthenticated
        api.tokens_used.add(context.caller.token_id)
        if api.limits.enabled:
            context.rate_limit = api.limits.tokens.take(context.caller.token_id)
        if not context.caller.may(options["permission"]):
            raise Forbidden
    for check in options.get("checks", ()):
        await check(request)


def charge_address(request: AnyRequest, context: RequestContext) -> None:
    """Count the request against the limit of the client's address. Raises TooManyRequests."""
    if context.api.limits.enabled:
        context.charged_address = address_key(request.client.host if request.client else "")
        context.rate_limit = context.api.limits.addresses.take(context.charged_address)


def charge_operator(context: RequestContext, organization_id: int, number: int) -> None:
    """Count the request against the operator's limit instead of the address's. Raises TooManyRequests."""
    limits = context.api.limits
    if not limits.enabled:
        return
    if context.charged_address is not None:
        limits.addresses.refund(context.charged_address)
    context.rate_limit = limits.operators.take(f"{organization_id}/{number}")


async def _caller(api: ApiState, header: bytes) -> Caller | None:
    given = _BEARER.fullmatch(header)
    if given is None:
        return None
    token_id, secret = given[1].decode(), given[2].decode()
    holder = await api.services.directory.token(token_id)
    # An unknown id costs the same comparison, so the response time does not reveal which ids exist.
    is_secret = hmac.compare_digest(holder.secret_hash if holder else _DIGEST_OF_NO_TOKEN, digest_of(secret))
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
