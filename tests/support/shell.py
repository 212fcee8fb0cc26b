"""Running commands: in this process, which is quick, or in one of their own."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from interfaces.cli import main


class Shell:
    """Runs commands in this process and keeps what they print."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def run(self, *words: str) -> tuple[int, str, str]:
        """Answer exit code, standard output and standard error."""
        code = main(words)
        said = self._captured.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    def json(self, *words: str) -> dict[str, Any]:
        """Answer what a command that succeeds prints."""
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def refusal(self, *words: str) -> tuple[int, dict[str, str]]:
        """Answer exit code and error of a command that does not succeed."""
        code, out, err = self.run(*words, "--json")
        assert out == ""
        return code, json.loads(err)["error"]

    def findings(self, *words: str) -> dict[str, dict[str, Any]]:
        """Answer by name what a doctor found who is not content."""
        code, out, err = self.run("doctor", "--json", *words)
        told = json.loads(out)
        assert (code, err, told["ok"]) == (1, "", False)
        return {check["name"]: check for check in told["checks"]}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, to its end."""
    command = [sys.executable, "-P", "-m", "interfaces.cli", *words]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
