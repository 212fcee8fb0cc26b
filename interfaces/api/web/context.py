"""What the whole of the API shares, and what one request has found out so far."""

from collections import OrderedDict
from typing import Any

from litestar import Request

from application.callers import Caller
from interfaces.api.web.rate_limit import RateLimits, RateLimitStatus
from interfaces.api.web.request_errors import Unauthenticated
from interfaces.bootstrap.services import Services
from interfaces.config.settings import Settings

AnyRequest = Request[Any, Any, Any]

_ORGANIZATIONS_MAX = 10_000


class WrittenPositions:
    """The log position up to which this process wrote for an organisation; lists wait until they show it."""

    def __init__(self) -> None:
        """Begin with nothing written."""
        self._positions: OrderedDict[int, int] = OrderedDict()

    def note(self, organization_id: int, position: int) -> None:
        """Note a change. Of very many organisations the one that wrote least recently is forgotten."""
        self._positions[organization_id] = max(position, self._positions.pop(organization_id, 0))
        if len(self._positions) > _ORGANIZATIONS_MAX:
            self._positions.popitem(last=False)

    def position(self, organization_id: int) -> int:
        """Answer the position; 0 for none."""
        return self._positions.get(organization_id, 0)


class ApiState:
    """What every handler may ask for."""

    def __init__(self, settings: Settings, services: Services) -> None:
        """Serve ``services`` as ``settings`` say."""
        self.settings = settings
        self.services = services
        self.limits = RateLimits(settings)
        self.written = WrittenPositions()
        self.tokens_used: set[str] = set()
        self.draining = False


class RequestContext:
    """One request on its way through the layers."""

    __slots__ = ("api", "caller", "headers", "if_match", "paying_address", "rate_limit", "request_id")

    def __init__(self, api: ApiState, request_id: str, headers: dict[bytes, bytes]) -> None:
        """Begin with nothing but the request's headers, and the id under which it is on record."""
        self.api = api
        self.request_id = request_id
        self.headers = headers
        self.caller: Caller | None = None
        self.if_match: int | None = None
        self.rate_limit: RateLimitStatus | None = None
        self.paying_address: str | None = None

    @property
    def member(self) -> Caller:
        """The holder of the request's token. Raises Unauthenticated."""
        if self.caller is None:
            raise Unauthenticated
        return self.caller


def context_of(request: AnyRequest) -> RequestContext:
    """Answer the visit that the edge layer began for the request."""
    return request.scope["state"]["visit"]
