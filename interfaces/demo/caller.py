"""Asking the HTTP API, as everybody else does."""

from typing import Any

import httpx


class DemoFailed(Exception):
    """The API refused a part of the demo."""

    code = "demo_failed"


class Caller:
    """Somebody who asks the API, with a token or without one."""

    def __init__(self, client: httpx.AsyncClient, token: str | None = None) -> None:
        """Ask over ``client``, whose base URL is the API's."""
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(self, method: str, path: str, body: object = None, **query: Any) -> httpx.Response:
        """Answer what the API answered. Raises DemoFailed where it refused, httpx.HTTPError."""
        answer = await self._client.request(method, path, json=body, params=query, headers=self._headers)
        if answer.is_error:
            raise DemoFailed(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer
