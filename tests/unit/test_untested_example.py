"""Tests of the TypeScript example are skipped without Node.js, and the last line of the run reports it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import node
from tests.support.node import NO_NODE, NO_REGISTRY, Node, find_node

ROOT = Path(__file__).parents[2]


def program(folder: Path, name: str, line: str) -> Path:
    (path := folder / name).write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def no_package(name: str) -> None:
    """Find nothing."""


@pytest.mark.parametrize("reason", ["NO_NODE", "NO_REGISTRY"])
def test_the_last_line_of_a_run_says_that_the_example_was_not_tested(tmp_path: Path, reason: str) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -p tests.conftest -p no:schemathesis -p no:hypothesispytest"
    )
    (tmp_path / "test_it.py").write_text(
        f"import pytest\nfrom tests.support import node\ndef test_it(): pytest.skip(node.{reason})"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-c", tmp_path / "pytest.ini", tmp_path]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == getattr(node, reason)


@pytest.mark.parametrize(("version", "found"), [("v20.20.2", False), ("v22.17.1", False), ("v22.18.0", True)])
def test_a_node_on_path_is_taken_if_it_strips_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, *, found: bool
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", no_package)
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "npm", "exit 0")
    path = program(tmp_path, "node", f"echo {version}")
    if found:
        assert find_node() == Node(path, (str(tmp_path / "npm"),), is_from_wheel=False)
    else:
        with pytest.raises(pytest.skip.Exception, match=NO_NODE):
            find_node()


def test_a_registry_that_is_away_skips_but_in_ci_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = program(tmp_path, "npm", "echo npm error code ENOTFOUND >&2; exit 1")
    of_wheel = Node(tmp_path / "node", (str(npm),), is_from_wheel=True)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=NO_REGISTRY):
        of_wheel.install(tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="ENOTFOUND"):
        of_wheel.install(tmp_path)
    with pytest.raises(pytest.skip.Exception, match=NO_REGISTRY):
        Node(tmp_path / "node", (str(npm),), is_from_wheel=False).install(tmp_path)


def test_what_npm_says_otherwise_fails(tmp_path: Path) -> None:
    npm = program(tmp_path, "npm", "echo npm error code EUSAGE >&2; exit 1")
    with pytest.raises(AssertionError, match="EUSAGE"):
        Node(tmp_path / "node", (str(npm),), is_from_wheel=False).install(tmp_path)
