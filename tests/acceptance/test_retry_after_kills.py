"""A retry starts at its due time, although every process was killed in the pause before it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from domain.callback.events import AttemptStarted, CallbackDelayed, CallbackFact, CallbackFinished
from domain.model import Recorded
from infrastructure.postgres.connections import service_dsn
from tests.chaos.nursery import Nursery
from tests.chaos.processes import answers, free_port
from tests.chaos.verdict import read_streams
from tests.support.callback_laws import check_history
from tests.support.dispatching import ANSWERS, BUSY
from tests.support.office import QUEUES
from tests.support.shell import Shell
from tests.support.waiting import eventually

pytest_plugins = ["tests.support.shells"]

PAUSE_S = 5  # longer than the processes take to end and to start again


class Stack:
    """API, worker and phone network, each in its own process."""

    def __init__(self, dsn: str, folder: Path, nursery: Nursery) -> None:
        self._dsn, self._port = dsn, free_port()
        address = str(folder / "network")
        environment = {
            "PEREZVON_DATABASE_URL": service_dsn(dsn),
            "PEREZVON_GATEWAY": "simulated",
            "PEREZVON_SIMULATOR_ADDRESS": address,
            "PEREZVON_SIMULATED_SPEED": "100",
        }
        commands = (("simulator", "--address", address), ("work",), ("serve", "--port", str(self._port)))
        self._processes = [
            nursery.process(*words, environment=environment, log=folder / f"{words[0]}.log") for words in commands
        ]

    def start(self) -> None:
        for process in self._processes:
            process.start()

    def serves(self) -> bool:
        return answers(f"http://127.0.0.1:{self._port}/health/ready")

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    def schedule(self, token: str, **callback: object) -> None:
        """Open a queue over HTTP, and schedule a callback in it."""
        headers, own = {"Authorization": f"Bearer {token}"}, f"http://127.0.0.1:{self._port}"
        with httpx.Client(base_url=own, headers=headers, trust_env=False) as client:
            queue = client.post(QUEUES, json={"name": "Retries", "status": "on"})
            assert queue.status_code == 201, queue.text
            response = client.post(f"{QUEUES}{queue.json()['id']}/task/", json={"tasks": [callback]})
            assert response.status_code == 201, response.text

    def history(self) -> list[Recorded[CallbackFact]]:
        """Return the recorded events of the only callback."""
        (history,) = read_streams(self._dsn, "callback/").values()
        return history


@pytest.fixture
def stack(database: str) -> Iterator[Stack]:
    """Yield running processes, and kill them after the test."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory()))
        running = Stack(database, folder, cleanup.enter_context(Nursery()))
        cleanup.callback(running.kill)
        running.start()
        eventually(running.serves, timeout=60)
        yield running


def test_a_retry_starts_when_it_is_due_though_every_process_was_killed_in_the_pause(stack: Stack, shell: Shell) -> None:
    token = shell.json("organization", "create", "Acme")["token"]
    stack.schedule(token, a_number=ANSWERS, b_number=BUSY, try_count=2, try_again_pause=str(PAUSE_S))
    eventually(lambda: isinstance(stack.history()[-1].fact, CallbackDelayed), timeout=60)
    stack.kill()
    assert isinstance(stack.history()[-1].fact, CallbackDelayed), "it was killed too late"
    stack.start()
    history = eventually(lambda: finished(stack.history()), timeout=60)
    check_history(history)
    (due_at,) = [event.fact.due_at for event in history if isinstance(event.fact, CallbackDelayed)]
    first, second = [event.recorded_at for event in history if isinstance(event.fact, AttemptStarted)]
    assert first < due_at <= second


def finished(history: list[Recorded[CallbackFact]]) -> list[Recorded[CallbackFact]]:
    """Return the history if it is finished, else an empty one."""
    return history if isinstance(history[-1].fact, CallbackFinished) else []
