"""JSON responses that are encoded once. The framework would process each again: type encoders, cookies, copied headers."""

from typing import Any, TypeVar

import msgspec
from litestar import Response
from litestar.types import Receive, Scope, Send

T = TypeVar("T")

_WITHOUT_CONTENT = {204, 304}
_encoder = msgspec.json.Encoder()


class JsonResponse(Response[T]):
    """A struct as JSON, with text headers. The object is its own ASGI response."""

    def __init__(self, content: T, headers: dict[str, str] | None = None, status_code: int = 200) -> None:
        """Encode ``content``; a response of 204 or 304 has no body."""
        self._status = status_code
        self._body = b"" if status_code in _WITHOUT_CONTENT else _encoder.encode(content)
        self._headers = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the object itself: it already has everything that the framework would add."""
        return self

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the response."""
        body = self._body
        if body:
            self._headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
