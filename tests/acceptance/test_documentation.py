"""The commands of the tutorial and of the how-to pages work as they are printed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest

from infrastructure.postgres.connections import service_dsn
from tests.asterisk.processes import free_port
from tests.support.running import Up

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = DOCS / "tutorial.md"
HOW_TO = sorted((DOCS / "howto").glob("*.md"))
RECEIVER_PORT = "9000"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


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
