"""The documentation page: complete, and without any other host."""

import re
from importlib.resources import files

import pytest

from tests.support.office import Service

pytestmark = pytest.mark.anyio


async def test_the_page_brings_everything_from_here(service: Service) -> None:
    page = await service.client.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert loaded
    for path in loaded:
        assert path.startswith(("./docs/static/", "data:"))  # relative: a proxy may add a prefix
        if not path.startswith("data:"):
            file = await service.client.get(path)
            assert (file.status_code, file.headers["Content-Type"].partition(";")[0]) == (
                200,
                "text/css" if path.endswith(".css") else "text/javascript",
            )
            assert file.content


async def test_the_pages_policy_lets_no_other_host_and_no_inline_script_in(service: Service) -> None:
    policy = (await service.client.get("/docs")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert (await service.client.get("/docs")).headers["X-Frame-Options"] == "DENY"


async def test_the_page_shows_our_document_and_sends_it_to_no_validator(service: Service) -> None:
    script = (await service.client.get("/docs/static/docs.js")).text
    assert 'url: "openapi.json"' in script
    assert "validatorUrl: null" in script
    document = await service.client.get("/openapi.json")
    assert document.headers["Content-Type"] == "application/json"
    assert document.json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("name", ["NOTICE", "nothing.js", "..%2Fapp.py", "%00", "docs.html"])
async def test_no_other_file_is_served_and_no_path_is_told(service: Service, name: str) -> None:
    response = await service.client.get(f"/docs/static/{name}")
    assert response.status_code == 404
    assert "site-packages" not in response.text
    assert "interfaces" not in response.text


def test_what_is_shipped_of_swagger_ui_has_its_licence_and_version() -> None:
    folder = files("interfaces.api.openapi") / "static" / "swagger-ui"
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert "swagger-ui-dist 5." in (folder / "NOTICE").read_text(encoding="utf-8")
