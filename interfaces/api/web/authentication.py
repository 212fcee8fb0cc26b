"""Authorization of requests: token, permission, rate limits and checks (``docs/contracts/tasks.md``, Errors).

Every router of ``routers.py`` calls ``authorize`` before the handler, which declares in ``opt`` what it needs. Guards of
the framework would do the same, but they copy the route for each request, which costs a fifth of the request's time.
"""

import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from application.callers import Caller
from application.errors import Forbidden
from application.ids import digest_of
from application.ports.directory import OperatorHolder, TokenHolder
from application.time_budget import set_owner
from interfaces.api.web.context import AnyRequest, ApiState, RequestContext, address_of, context_of
from interfaces.api.web.request_errors import TooManyRequests, Unauthenticated

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +pz_([0-9A-Za-z]{1,64})_([0-9A-Za-z]{1,128}) *")
_DIGEST_OF_NO_TOKEN = digest_of("")

IsKnown = Callable[[AnyRequest], Awaitable[bool]]


async def authorize(request: AnyRequest) -> None:
    """Authorize the request and set the caller in its context.

    The token and its organisation are charged for the request; without a valid token the address is charged, before the
    body is read. Raises Unauthenticated, Forbidden, TooManyRequests, and what the handler's checks raise.
    """
    if request.scope["method"] == "OPTIONS":
        return
    context, options = context_of(request), request.route_handler.opt
    header = context.headers.get(b"authorization")
    if header is not None:
        await _authenticate(request, context, header)
        if not context.token_holder.may(options["permission"]):
            raise Forbidden
    elif options.get("token_optional"):
        await _charge_address(request, context, options.get("is_known"))
    else:
        _charge_stranger(request, context)
        raise Unauthenticated
    for check in options.get("checks", ()):
        await check(request)


def charge_operator(context: RequestContext, operator: OperatorHolder) -> None:
    """Count the request against the limits of the operator and its organisation instead of the address's.

    The address stays charged for what exceeds these limits. Raises TooManyRequests.
    """
    limits, organization_id = context.api.limits, operator.organization_id
    context.log_fields.update(organization=organization_id, actor=f"operator/{operator.number}")
    set_owner(organization_id)
    if not limits.enabled:
        return
    context.rate_limit = limits.take_for_operator(
        operator.number, organization_id, operator.settings.limits, has_token=context.caller is not None
    )
    if context.charged_address is not None:
        limits.addresses.refund(context.charged_address)


def charge_public(request: AnyRequest) -> None:
    """Count a request that needs no token, such as documentation. Raises TooManyRequests."""
    context = context_of(request)
    if context.api.limits.enabled:
        context.rate_limit = context.api.limits.public.take(address_of(request))


async def _charge_address(request: AnyRequest, context: RequestContext, is_known: IsKnown | None) -> None:
    """Count the request against the limit of the address at the open intake.

    When others behind the address have used that up, ``is_known`` says whether the request is nevertheless read.
    """
    limits = context.api.limits
    if not limits.enabled:
        return
    address = address_of(request)
    try:
        context.rate_limit = limits.addresses.take(address)
        context.charged_address = address
    except TooManyRequests:
        if is_known is None or not await is_known(request):
            raise


def _charge_stranger(request: AnyRequest, context: RequestContext) -> None:
    if context.api.limits.enabled:
        context.rate_limit = context.api.limits.strangers.take(address_of(request))


async def _authenticate(request: AnyRequest, context: RequestContext, header: bytes) -> None:
    """Set the caller in the context, and charge the token. Raises Unauthenticated and TooManyRequests."""
    api, given = context.api, _BEARER.fullmatch(header)
    holder = None if given is None else await _holder(api, given[1].decode(), given[2].decode())
    if holder is None:
        _charge_stranger(request, context)
        raise Unauthenticated
    context.caller = caller = Caller(
        organization_id=holder.organization_id,
        token_id=holder.token_id,
        role=holder.role,
        member_id=holder.member_id,
        member_role=holder.member_role,
    )
    context.log_fields.update(organization=caller.organization_id, actor=caller.actor)
    set_owner(caller.organization_id)
    api.tokens_used.add(holder.token_id)
    if api.limits.enabled:
        context.rate_limit = api.limits.take_for_token(holder.token_id, holder.organization_id, holder.own_limits)


async def _holder(api: ApiState, token_id: str, secret: str) -> TokenHolder | None:
    holder = await api.services.directory.token(token_id)
    # An unknown id costs the same comparison, so the response time does not reveal which ids exist.
    is_secret = hmac.compare_digest(holder.secret_hash if holder else _DIGEST_OF_NO_TOKEN, digest_of(secret))
    return holder if holder is not None and is_secret and _is_valid(holder) else None


def _is_valid(holder: TokenHolder) -> bool:
    return holder.revoked_at is None and (holder.expires_at is None or datetime.now(UTC) < holder.expires_at)
