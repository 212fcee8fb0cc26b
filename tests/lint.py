"""All static checks, with a headline each: `./run lint`."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.locks import EXPORTS, export_command, foreign_lines

ROOT = Path(__file__).parents[1]
BIN = ROOT / ".venv/bin"


def main() -> None:
    """Run each step; exit at the first that fails."""
    steps: dict[str, Callable[[], None]] = {
        "ruff check": lambda: call("ruff", "check", "--no-cache"),
        "ruff format": lambda: call("ruff", "format", "--no-cache", "--check"),
        "pyright": lambda: call("pyright"),
        "import contracts": lambda: call("lint-imports", "--no-cache"),
        "lock files": locks,
        "Dockerfile": lambda: call("hadolint", "Dockerfile"),
        "docker-compose.yml": compose,
        "workflows": lambda: call("zizmor", "--offline", "--no-progress", "--quiet", ".github/workflows"),
        "docs site": docs_site,
        "language": lambda: call("python", "-m", "tests.language"),
    }
    for name, step in steps.items():
        print(f"-- {name}", flush=True)
        began = time.monotonic()
        step()
        print(f"   {time.monotonic() - began:.1f} s", flush=True)


def call(program: str, *arguments: str) -> None:
    """Run a program of .venv; exit if it fails."""
    if subprocess.run([BIN / program, *arguments], cwd=ROOT, check=False).returncode:
        sys.exit(f"lint failed: {program}")


def locks() -> None:
    """Check that the lock files match pyproject.toml and name only the public index."""
    if found := [*foreign_lines(ROOT)]:
        sys.exit("\n".join(["lint failed: lock files name indexes other than the public one", *found]))
    os.environ |= {"UV_PYTHON": str(BIN / "python"), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CACHE": "1"}
    call("uv", "lock", "--locked", "--quiet")
    for name in EXPORTS:
        fresh = subprocess.run([BIN / "uv", *export_command(name)], cwd=ROOT, capture_output=True, check=True).stdout
        if fresh != (ROOT / name).read_bytes():
            sys.exit(
                f"lint failed: {name} is out of date; regenerate it with: uv {' '.join(export_command(name))} -o {name}"
            )


def compose() -> None:
    """Validate the compose file, if compose version 2 is installed."""
    for program in (["docker", "compose"], ["docker-compose"]):
        if not shutil.which(program[0]):
            continue
        version = subprocess.run([*program, "version", "--short"], capture_output=True, text=True, check=False).stdout
        if version.strip("v\n") >= "2":
            needed = ("PEREZVON_DB_PASSWORD", "PEREZVON_APP_PASSWORD", "PEREZVON_SECRETS_KEY")
            environment = {**os.environ, **dict.fromkeys(needed, "x")}
            if subprocess.run([*program, "config", "--quiet"], cwd=ROOT, env=environment, check=False).returncode:
                sys.exit("lint failed: docker-compose.yml")
            return
    print("   compose v2 is not installed; tests/architecture checks the file")


def docs_site() -> None:
    """Build the site of docs/ and throw it away; a warning, such as a broken link, is an error."""
    if not (ROOT / "mkdocs.yml").exists():
        print("   no mkdocs.yml yet")
        return
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # a notice of the theme: it is maintained until May 2027
    with tempfile.TemporaryDirectory() as folder:
        # Without --quiet: it hides warnings from --strict too.
        call("mkdocs", "build", "--strict", "--site-dir", folder)


if __name__ == "__main__":
    main()
