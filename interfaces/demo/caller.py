"""Client of the HTTP API."""

from typing import Any

import httpx


class DemoFailed(Exception):
    """The API refused a request of the demo."""

    code = "demo_failed"


class Caller:
    """A client of the API, with or without a token."""

    def __init__(self, client: httpx.AsyncClient, token: str | None = None) -> None:
        """Send requests over ``client``, whose base URL is that of the API."""
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(self, method: str, path: str, body: object = None, **query: Any) -> httpx.Response:
        """Send a request and return the response. Raises DemoFailed for an error status, httpx.HTTPError."""
        response = await self._client.request(method, path, json=body, params=query, headers=self._headers)
        if response.is_error:
            raise DemoFailed(f"{method} {path}: {response.status_code} {response.text}")
        return response
