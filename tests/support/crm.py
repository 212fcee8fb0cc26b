"""The CRM of `examples/`, run as in its README: a process that tests may kill, and its HTTP interface."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from standardwebhooks import Webhook

from tests.asterisk.processes import free_port, kill
from tests.support.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_S = 60.0


class Crm:
    """A CRM with its own table and port. Both outlive its process."""

    def __init__(self, command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        """Start the process, and wait until it responds."""
        self._command, self._folder = command, folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.database = folder / "crm.sqlite"
        self.environment = environment | {"CRM_PORT": str(port), "CRM_DATABASE": str(self.database)}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def log(self) -> str:
        return (self._folder / "crm.log").read_text()

    def start(self) -> None:
        environment = {**os.environ, "NO_PROXY": "127.0.0.1", **self.environment}
        with (self._folder / "crm.log").open("a") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, env=environment, stdout=log, stderr=log)
        eventually(self._responds, timeout=TIMEOUT_S)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        assert self._process is not None
        kill(self._process)

    def add(self, name: str, phone: str) -> dict[str, Any]:
        added = httpx.post(f"{self.url}/customers", json={"name": name, "phone": phone}, trust_env=False)
        assert added.status_code == 201, added.text
        return added.json()

    def customers(self) -> dict[str, dict[str, Any]]:
        """Return all customers by name."""
        listed = httpx.get(f"{self.url}/customers", trust_env=False)
        assert listed.status_code == 200, listed.text
        return {customer["name"]: customer for customer in listed.json()}

    def wait_for(self, expected: dict[str, tuple[str, int, int]]) -> dict[str, dict[str, Any]]:
        """Wait until each customer has that state, number of attempts and number of webhooks; return all."""

        def found() -> dict[str, tuple[str, int, int]]:
            listed = self.customers()
            return {name: (one["state"], one["attempts"], one["webhooks"]) for name, one in listed.items()}

        try:
            eventually(lambda: found() == expected, timeout=TIMEOUT_S)
        except AssertionError:
            pytest.fail(f"{found()} is not {expected}; log of the CRM:\n{self.log}")
        return self.customers()

    def sign(self, body: bytes, *, message_id: str, age_s: float = 0.0, secret: str = "") -> dict[str, str]:
        """Return the headers with which perezvon sends the body."""
        at = datetime.fromtimestamp(int(time.time() - age_s), UTC)
        signature = Webhook(secret or self.environment["CRM_WEBHOOK_SECRET"]).sign(message_id, at, body.decode())
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
        }

    def deliver(self, body: bytes, headers: dict[str, str]) -> int:
        """Send a webhook, and return the status of the response."""
        return httpx.post(f"{self.url}/webhooks", content=body, headers=headers, trust_env=False).status_code

    def _responds(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/customers", trust_env=False).is_success
        except httpx.TransportError:
            return False


def message(customer: dict[str, Any], event: str, sequence: int, **more: Any) -> bytes:
    """Return the body of a webhook about the customer's callback."""
    data = {"callback_id": 1, "queue_id": 2, "name": customer["id"], **more}
    return msgspec.json.encode({"id": "msg", "type": f"callback.{event}.v1", "sequence": sequence, "data": data})


def lines_of_readme(example: str, **replacements: str) -> list[str]:
    """Return the shell blocks of an example's README, with each text of ``replacements`` replaced."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (EXAMPLES / example / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    for as_written, replacement in replacements.items():
        blocks = [block.replace(as_written, replacement) for block in blocks]
    return blocks
