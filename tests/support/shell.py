"""Commands run in this process, which is fast, or in a new process."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from interfaces.cli import main


class Shell:
    """A shell that runs commands in this process and captures their output."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command; return its exit code, standard output and standard error."""
        code = main(words)
        printed = self._captured.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    def json(self, *words: str) -> dict[str, Any]:
        """Run a command that succeeds with `--json`; return its output."""
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def refusal(self, *words: str) -> tuple[int, dict[str, str]]:
        """Run a command that fails with `--json`; return its exit code and error."""
        code, out, err = self.run(*words, "--json")
        assert out == ""
        return code, json.loads(err)["error"]

    def findings(self, *words: str) -> dict[str, dict[str, Any]]:
        """Run a doctor that finds a failure; return its checks by name."""
        code, out, err = self.run("doctor", "--json", *words)
        report = json.loads(out)
        assert (code, err, report["ok"]) == (1, "", False)
        return {check["name"]: check for check in report["checks"]}


def run(*words: str, encoding: str = "utf-8", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a new process until it ends; its output is in ``encoding``."""
    command = [sys.executable, "-P", "-m", "interfaces.cli", *words]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        encoding=encoding,
        errors="backslashreplace",
        timeout=60,
        check=False,
    )
