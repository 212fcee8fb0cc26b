"""The headers that the API adds to responses are in the OpenAPI document."""

from typing import Any

import msgspec
import pytest

from interfaces.api.openapi.docs_page import openapi_document
from tests.support.office import Office

pytestmark = pytest.mark.anyio

DOCUMENT: dict[str, Any] = msgspec.json.decode(openapi_document())
OURS = ("x-r", "perezvon-", "retry-", "link", "etag")


def described_headers(path: str, status: int) -> dict[str, Any]:
    """Return the headers of a response to GET, without references."""
    response = DOCUMENT["paths"][path]["get"]["responses"][str(status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    common = DOCUMENT["components"]["headers"]
    return {
        name.lower(): common[header["$ref"].rpartition("/")[2]] if "$ref" in header else header
        for name, header in response["headers"].items()
    }


@pytest.mark.parametrize(
    ("path", "ignores"),
    [
        ("/api/tasks", True),
        ("/api/ver1.0/client/{client_id}/task_scheduler", True),
        ("/v1/queue-board", False),
        ("/v1/tokens", False),
    ],
)
@pytest.mark.parametrize("query", ["", "?overdue=true", "?per_page=x&limit=x"])
@pytest.mark.parametrize("role", ["admin", None])
async def test_headers_of_responses_are_described(
    office: Office, path: str, *, ignores: bool, query: str, role: str | None
) -> None:
    headers = {"X-Request-Id": "17", **(office.admin if role else {})}
    response = await office.client.get(path.replace("{client_id}", "@me") + query, headers=headers)
    found = {name for name in response.headers if name.startswith(OURS)}
    described = described_headers(path, response.status_code)
    assert found - described.keys() == set()
    assert {"x-request-id", "perezvon-correlation"} <= found
    assert ("perezvon-ignored" in described) == ignores
    assert all(header["description"] and header["schema"] for header in described.values())
    if response.status_code == 200:
        assert ("perezvon-ignored" in found) == (ignores and query == "?overdue=true")
