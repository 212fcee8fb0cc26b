"""Without a real switch its tests are skipped, and the last line of the run reports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.asterisk import archive
from tests.asterisk.tree import NAME, Tree, found
from tests.conftest import UNTESTED

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _without_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PEREZVON_TEST_ASTERISK", raising=False)


def test_the_last_line_of_a_run_says_that_the_switch_was_not_tested(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -p tests.conftest -p no:schemathesis -p no:hypothesispytest"
    )
    (tmp_path / "test_it.py").write_text("def test_it(asterisk): pass")
    command = [sys.executable, "-m", "pytest", "-q", "-c", tmp_path / "pytest.ini", tmp_path]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == UNTESTED


def test_what_cannot_be_fetched_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (programs := tmp_path / "bin").mkdir()
    for name, line in (("apt-get", "echo no network >&2; exit 100"), ("dpkg-deb", "exit 0")):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(archive, "_KEYS", programs)
    with pytest.raises(archive.FetchFailed, match="no network"):
        archive.fetch()
    assert [path.name for path in (tmp_path / "perezvon").iterdir()] == [f"{NAME}.lock"]
    assert found() is None


def test_the_tree_that_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEREZVON_TEST_ASTERISK", str(tmp_path))
    assert found() == Tree(tmp_path)
    with pytest.raises(FileNotFoundError):
        Tree(tmp_path).versions()
