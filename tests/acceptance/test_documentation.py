"""The commands of the tutorial and of the how-to pages, and the Python of all pages, work as they are printed."""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from infrastructure.postgres.connections import service_dsn
from tests.asterisk.processes import free_port
from tests.support.running import Up

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = DOCS / "tutorial.md"
HOW_TO = sorted((DOCS / "howto").glob("*.md"))
RECEIVER_PORT = "9000"


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page; one in a list is indented."""
    block = re.compile(rf"^( *)```{language}\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(found[2]) for found in block.finditer(page.read_text(encoding="utf-8"))]


@pytest.fixture
def up(database: str, tmp_path: Path) -> Iterator[Up]:
    up = Up(
        tmp_path,
        PEREZVON_DATABASE_URL=database,
        PEREZVON_WEBHOOK_ALLOW_NETS="127.0.0.0/8",
        PEREZVON_SIMULATED_SPEED="10",
    )
    yield up
    up.end()


def test_the_lines_of_tutorial_and_how_to_pages_work_as_they_are(up: Up, database: str, tmp_path: Path) -> None:
    port = str(free_port())
    (receiver,) = blocks(DOCS / "howto/verify-a-webhook.md", "python")
    (tmp_path / "receiver.py").write_text(receiver.replace(RECEIVER_PORT, port))
    script = "set -eu\n" + "\n".join(block for page in (TUTORIAL, *HOW_TO) for block in blocks(page, "sh"))
    for as_written, here in (
        ("http://127.0.0.1:8080", up.url),
        (f"127.0.0.1:{RECEIVER_PORT}", f"127.0.0.1:{port}"),
        ("./run ", f"{sys.executable} -P -m interfaces.cli "),
        ("python3 ", f"{sys.executable} "),
        (" doctor\n", " doctor || true\n"),  # it finds fault with the server of the tests, which is not durable
    ):
        assert as_written in script
        script = script.replace(as_written, here)
    environment = {**os.environ, "PEREZVON_DATABASE_URL": service_dsn(database), "PEREZVON_OWNER_URL": database}
    ran = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stderr
    assert "BUSY b busy (SIP 486 Busy Here)" in ran.stdout
    assert json.loads((tmp_path / "task.json").read_text())["caller_phone"] == "+77010001001"
    received = (tmp_path / "received.txt").read_text().splitlines()
    assert [line.partition(" ")[0] for line in received] == ["valid"] * 3
    _the_queries_find_something(database)


def _the_queries_find_something(database: str) -> None:
    """Run the SELECTs of the how-to pages; but for parked streams each finds what the tutorial left."""
    queries = [block for page in HOW_TO for block in blocks(page, "sql") if block.startswith("SELECT")]
    assert len(queries) > 5
    with psycopg.connect(database) as connection:
        for query in queries:
            found = connection.execute(cast("LiteralString", query)).fetchall()
            assert bool(found) == ("parked_streams" not in query), query


def test_every_python_example_is_run_by_a_test() -> None:
    pages = [*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md"), *DOCS.parent.glob("examples/**/*.md")]
    with_python = {str(page.relative_to(DOCS.parent)) for page in pages if blocks(page, "(?:python|py)")}
    assert with_python == {"docs/webhooks.md", "docs/howto/verify-a-webhook.md"}  # the latter is run with the tutorial


def test_the_python_of_the_page_on_webhooks_verifies_a_signature() -> None:
    secret, now, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.now(UTC), '{"type": "callback.finished.v1"}'
    (block,) = blocks(DOCS.parent / "docs/webhooks.md", "python")
    names: dict[str, Any] = {}
    exec(block.replace("whsec_…", secret), names)  # noqa: S102 - the text is a page of this repository
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body),
    }
    assert names["verified"](body.encode(), headers) == {"type": "callback.finished.v1"}
    with pytest.raises(WebhookVerificationError):
        names["verified"](b"{}", headers)


def test_every_page_names_the_default_port_of_the_api() -> None:
    for page in (*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")):
        ports = re.findall(
            r"(?:127\.0\.0\.1|localhost):([0-9]+)/(?:api|v1|client|docs|health|openapi)", page.read_text()
        )
        assert set(ports) <= {"8080"}, page
