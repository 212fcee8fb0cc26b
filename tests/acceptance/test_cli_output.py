"""Output of commands on narrow terminals and in locales without UTF-8."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shell import run

NAME = "Қызмет 😀"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1251"])
def test_a_locale_that_cannot_encode_a_name_does_not_cost_the_one_time_token(database: str, encoding: str) -> None:
    words = ("organization", "create", NAME)
    done = run(*words, encoding=encoding, PEREZVON_DATABASE_URL=database, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "token: pz_" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1251", "utf-8"])
def test_json_is_the_same_in_every_locale(database: str, encoding: str) -> None:
    words = ("organization", "create", NAME, "--json")
    done = run(*words, encoding=encoding, PEREZVON_DATABASE_URL=database, PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout)["name"] == NAME


def test_a_table_is_readable_on_a_narrow_terminal(database: str) -> None:
    for name in ("First", "Second"):
        assert run("organization", "create", name, PEREZVON_DATABASE_URL=database).returncode == 0
    wide = on_terminal("organization", "list", columns=200, PEREZVON_DATABASE_URL=database)
    narrow = on_terminal("organization", "list", columns=60, PEREZVON_DATABASE_URL=database)
    assert wide[0].split() == ["id", "name", "created_at", "settings.region", "settings.timezone"]
    assert [line.split() for line in narrow if line.startswith("name")] == [["name", "First"], ["name", "Second"]]
    assert max(map(len, narrow)) <= 60
    piped = run("organization", "list", PEREZVON_DATABASE_URL=database, COLUMNS="60").stdout.splitlines()
    assert [line.rstrip() for line in piped if line.strip()] == narrow


def test_utf_8_is_read_where_the_locale_is_ascii(database: str) -> None:
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("organization", "create", NAME, "--json", PEREZVON_DATABASE_URL=database, **ascii_only)
    assert json.loads(done.stdout)["name"] == NAME


@pytest.mark.parametrize(("no_color", "has_colours"), [("", True), ("1", False)])
def test_no_color_is_obeyed(database: str, no_color: str, *, has_colours: bool) -> None:
    lines = on_terminal("doctor", columns=200, PEREZVON_DATABASE_URL=database, NO_COLOR=no_color)
    assert ("\x1b[" in "".join(lines)) == has_colours


def test_an_unknown_setting_gives_a_warning_but_not_to_programs(database: str) -> None:
    misspelt = {"PEREZVON_DATABASE_URL": database, "PEREZVON_RATE_LIMIT": "false"}
    done = run("organization", "list", **misspelt)
    assert "PEREZVON_RATE_LIMIT is not a setting; did you mean PEREZVON_RATE_LIMITS?" in done.stderr
    assert run("organization", "list", "--json", **misspelt).stderr == ""


def on_terminal(*words: str, columns: int, **environment: str) -> list[str]:
    """Run a command whose standard output is a terminal of that width; return the lines that it shows."""
    ours, theirs = pty.openpty()
    try:
        given = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", **environment}
        command = [sys.executable, "-P", "-m", "interfaces.cli", *words]
        process = subprocess.Popen(command, env=given, stdout=theirs, stderr=subprocess.DEVNULL, cwd=Path.cwd())
        os.close(theirs)
        shown = bytearray()
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            pass  # the terminal's other end is closed
        process.wait(30)
    finally:
        os.close(ours)
    return [line.rstrip() for line in shown.decode().splitlines() if line.strip()]
