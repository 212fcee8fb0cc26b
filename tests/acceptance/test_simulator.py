"""``perezvon simulator``: a phone network in its own process."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from application.ports.call_gateway import Call, CallGateway, Ended, PlaceResult
from domain.callback.events import Outcome
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.network import Network
from interfaces.bootstrap.simulator import NetworkOptions, make_network
from tests.support.shell import Shell
from tests.support.switches import EventCollector
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio
pytest_plugins = ["tests.support.shells"]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Yield a function that starts a simulator; kill all of them after the test."""
    running: list[subprocess.Popen[str]] = []

    def started(*words: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "interfaces.cli", "simulator", *words]
        environment = {**os.environ, "PEREZVON_SIMULATED_SPEED": "1e9", **environment}
        running.append(
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return running[-1]

    yield started
    for one in running:
        with one:
            one.kill()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the relative path of a Unix socket: the path of a test folder may be too long for one."""
    monkeypatch.chdir(tmp_path)
    return "./switch.sock"


def address_in(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().removeprefix("ready ").rstrip()


@asynccontextmanager
async def dialled(address: str) -> AsyncGenerator[CallGateway]:
    async with SimulatedGateway(address) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda _event: True)
        yield gateway


async def outcome_of(gateway: CallGateway, number: str) -> Outcome:
    call = Call(id=str(uuid4()), a_number=number, b_number="1001", a_sees="1001", b_sees="100")
    assert await gateway.place(call) is PlaceResult.ACCEPTED

    async def end() -> Outcome | None:
        (found,) = await gateway.find([call.id])
        return found.end.outcome if isinstance(found, Ended) else None

    outcome = await eventually_async(end)
    assert outcome
    return outcome


async def test_it_says_where_it_listens_carries_calls_and_ends_at_a_signal(start: Start) -> None:
    process = start("--address", "127.0.0.1:0")
    async with dialled(address_in(process)) as gateway:
        assert await outcome_of(gateway, "1001") is Outcome.SUCCESS
        assert await outcome_of(gateway, "+77010002001") is Outcome.BUSY
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert process.stdout
    assert process.stdout.read() == ""


async def test_its_state_outlives_those_who_dial_it(start: Start, path: str) -> None:
    address = address_in(start("--address", path))
    for placed in (1, 2):
        async with dialled(address) as gateway:
            await outcome_of(gateway, "2001")
        async with Control(address) as control:
            counts = await control.counts()
        assert (counts.placed, counts.most_dials, counts.outcomes) == (placed, 1, {Outcome.BUSY: placed})


@pytest.fixture
def network_of(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Network]:
    """Return a function that makes the network which the command would serve, without serving it."""
    served: list[Network] = []

    def serve(options: NetworkOptions, listener: socket.socket, _on_ready: Callable[[], None]) -> None:
        listener.close()
        served.append(make_network(options))

    def made(*words: str) -> Network:
        code, _, err = bare_shell.run("simulator", "--address", "127.0.0.1:0", *words)
        assert (code, err) == (0, "")
        return served.pop()

    monkeypatch.setattr("interfaces.commands.simulator.simulate", serve)
    return made


def outcomes(network: Network, number: str, count: int) -> list[Outcome | None]:
    calls = [Call(id=f"call {n}", a_number=number, b_number="1001", a_sees="1001", b_sees="100") for n in range(count)]
    for call in calls:
        network.place(call)
    found = network.find([call.id for call in calls])
    return [one.end.outcome if isinstance(one, Ended) else None for one in found]


def test_it_carries_what_it_is_told_to(network_of: Callable[..., Network]) -> None:
    random_outcomes = [outcomes(network_of("--seed", seed), "9001", 100) for seed in ("1", "1", "2")]
    assert random_outcomes[0] == random_outcomes[1] != random_outcomes[2]
    assert outcomes(network_of("--calls", "1"), "3001", 2) == [None, Outcome.CONGESTION]
    assert outcomes(network_of("--calls-per-second", "0.001"), "2001", 2) == [Outcome.BUSY, Outcome.CONGESTION]
    assert outcomes(network_of(), "2001", 2) == [Outcome.BUSY, Outcome.BUSY]


def test_a_socket_that_was_left_behind_is_taken_over_and_one_in_use_is_not(start: Start, path: str) -> None:
    first = start("--address", path)
    assert address_in(first) == path
    second = start("--address", path)
    assert second.wait(timeout=60) == 1
    first.kill()
    first.wait()
    assert json.loads(address_in(start("--address", path, "--json"))) == {"ready": path}


def test_an_attached_one_ends_when_its_parent_is_gone(start: Start) -> None:
    attached = start("--address", "127.0.0.1:0", "--attached")
    assert address_in(attached)
    assert attached.stdin is not None
    attached.stdin.close()
    assert attached.wait(timeout=60) == 0


def test_an_address_in_use_is_a_sentence(bare_shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, error = bare_shell.refusal("simulator", "--address", f"127.0.0.1:{other.getsockname()[1]}")
    assert (code, error["code"]) == (1, "cannot_listen")


@pytest.mark.parametrize("address", ["switch", "127.0.0.1", "127.0.0.1:x", ""])
def test_what_is_no_address_is_refused(bare_shell: Shell, address: str) -> None:
    code, error = bare_shell.refusal("simulator", "--address", address)
    assert (code, error["code"]) == (2, "usage")
