"""State that all handlers share, and the context of one request."""

from typing import Any

import litestar

from application.callers import Caller, Request
from interfaces.api.web.body_budget import BodyBudget, BodyBytes
from interfaces.api.web.rate_limit import RateLimits, RateLimitStatus, RecentKeys, address_key
from interfaces.api.web.recent_state import RecentState
from interfaces.api.web.request_errors import Unauthenticated
from interfaces.api.web.request_ids import RequestIds
from interfaces.api.web.written_positions import WrittenPositions
from interfaces.bootstrap.services import Services
from interfaces.config.log_fields import LogFields
from interfaces.config.settings import Settings

AnyRequest = litestar.Request[Any, Any, Any]


class ApiState:
    """State that all handlers of a process share."""

    def __init__(self, settings: Settings, services: Services) -> None:
        """Serve ``services`` with the deployment's ``settings``."""
        self.settings = settings
        self.services = services
        self.limits = RateLimits(settings)
        self.recent_operator_keys = RecentKeys()
        self.recent_state = RecentState(services.readiness)
        self.bodies = BodyBudget()
        self.written_positions = WrittenPositions()
        self.shown_positions: dict[str, int] = {}  # of each view, the log position that its last page showed
        self.tokens_used: set[str] = set()
        self.draining = False


class RequestContext:
    """Data that the layers of one request share.

    ``if_match`` is the version that ``If-Match`` names, ``rate_limit`` the bucket that was charged, ``charged_address``
    the address while it is the one that was charged, ``ignored_params`` names the query parameters that were ignored,
    ``body_bytes`` the memory that the body holds until the response is sent, ``log_fields`` what log lines say of the request.
    """

    __slots__ = (
        "api",
        "body_bytes",
        "caller",
        "charged_address",
        "headers",
        "ids",
        "if_match",
        "ignored_params",
        "log_fields",
        "rate_limit",
    )

    def __init__(self, api: ApiState, ids: RequestIds, headers: dict[bytes, bytes]) -> None:
        """Start with the request's ids and headers."""
        self.api = api
        self.ids = ids
        self.headers = headers
        self.log_fields: LogFields = {"request_id": ids.shown}
        if ids.are_different:
            self.log_fields["correlation"] = ids.recorded
        self.caller: Caller | None = None
        self.if_match: int | None = None
        self.ignored_params = ""
        self.rate_limit: RateLimitStatus | None = None
        self.charged_address: str | None = None
        self.body_bytes: BodyBytes | None = None

    @property
    def token_holder(self) -> Caller:
        """The holder of the request's token. Raises Unauthenticated."""
        if self.caller is None:
            raise Unauthenticated
        return self.caller

    @property
    def organization_id(self) -> int:
        """The organisation of the request's token. Raises Unauthenticated."""
        return self.token_holder.organization_id

    def command_request(self) -> Request:
        """Return what a use case needs to know of the request, apart from an Idempotency-Key."""
        return Request(request_id=self.ids.recorded, caller=self.caller, if_match=self.if_match)


def context_of(request: AnyRequest) -> RequestContext:
    """Return the context that the ASGI middleware created for the request."""
    return request.scope["state"]["context"]


def address_of(request: AnyRequest) -> str:
    """Return the key of the client's address (``rate_limit.address_key``)."""
    return address_key(request.client.host if request.client else "")
