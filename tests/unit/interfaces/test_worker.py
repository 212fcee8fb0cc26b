"""The worker ends when one of its parts ends, so that its supervisor restarts it."""

import asyncio
import os
import signal
from base64 import b64encode
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from application.ports.call_gateway import GatewayKind
from application.webhook_options import WebhookOptions
from domain.organization.limits import Limits
from infrastructure.dispatch.pacing import Pace
from infrastructure.gateways.asterisk.kind import AsteriskGatewayKind
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.simulated.kind import SimulatedGatewayKind
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import Listener
from interfaces.bootstrap.gateways import gateway_of
from interfaces.bootstrap.worker import run_dispatching
from interfaces.config.limits import limits_of
from interfaces.config.settings import BadSetting, Settings
from interfaces.processes.sockets import listen
from interfaces.processes.worker import PartEnded, work

PARTS = ["run_projections", "run_deliveries", "run_dispatching"]


def asterisk_at(host: str) -> AsteriskGatewayKind:
    return AsteriskGatewayKind(AsteriskOptions(host=host, port=5038, user="u", secret="s", trunk="t"))


async def run_until_stopped(_pool: Pool, _listener: Listener, stop: asyncio.Event, *_: object, **__: object) -> None:
    await stop.wait()


async def wait_forever(_listener: Listener) -> None:
    await asyncio.Event().wait()


async def fail(*_: object, **__: object) -> None:
    raise LookupError("broken")


async def end_early(*_: object, **__: object) -> None:
    pass


async def signal_stop(_pool: Pool, _listener: Listener, stop: asyncio.Event, *_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await stop.wait()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that runs a worker. Its parts run until they are stopped, except the given ones."""

    def running(settings: Settings | None = None, **parts: object) -> None:
        for part in PARTS:
            monkeypatch.setattr(f"interfaces.bootstrap.worker.{part}", parts.get(part, run_until_stopped))
        monkeypatch.setattr(Listener, "run", wait_forever)
        with listen("127.0.0.1", 0) as metrics:
            work("", settings or Settings(gateway="simulated"), metrics)

    return running


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_fails_ends_the_worker_with_its_error(run: Callable[..., None], part: str) -> None:
    with pytest.raises(LookupError, match="broken"):
        run(**{part: fail})


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_ends_by_itself_ends_the_worker(run: Callable[..., None], part: str) -> None:
    with pytest.raises(PartEnded):
        run(**{part: end_early})


def test_all_parts_end_when_the_worker_is_told_to(run: Callable[..., None]) -> None:
    run(run_projections=signal_stop)


def test_without_a_gateway_nothing_is_dialled(run: Callable[..., None]) -> None:
    run(Settings(), run_projections=signal_stop, run_dispatching=fail)


def test_a_worker_that_can_sign_no_webhook_reports_it_at_its_start(run: Callable[..., None]) -> None:
    event = "no webhook can be signed: none is sent until the key is set"
    for key, reports in ((None, 1), (b64encode(bytes(32)).decode(), 0)):
        with capture_logs() as lines:
            run(Settings(secrets_key=key), run_projections=signal_stop)
        assert [line["setting"] for line in lines if line["event"] == event] == ["PEREZVON_SECRETS_KEY"] * reports


@pytest.mark.parametrize(
    ("settings", "pace"),
    [
        (Settings(gateway="simulated"), Pace()),
        (Settings(gateway="simulated", calls_per_second=5, channels=8), Pace(calls_per_second=5, channels=8)),
        (Settings(gateway="asterisk", asterisk_secret="s3cret"), Pace(calls_per_second=1)),
    ],
)
def test_it_dials_the_switch_that_is_set_at_the_pace_that_is_set(
    run: Callable[..., None], settings: Settings, pace: Pace
) -> None:
    dialled: dict[str, object] = {}

    async def dial(pool: Pool, listener: Listener, stop: asyncio.Event, *_: object, **how: object) -> None:
        dialled.update(how)
        await signal_stop(pool, listener, stop)

    run(settings, run_dispatching=dial)
    assert dialled == {"gateway": gateway_of(settings), "pace": pace, "limits": limits_of(settings)}


def test_a_worker_that_cannot_know_its_switch_does_not_begin(run: Callable[..., None]) -> None:
    with pytest.raises(BadSetting, match="PEREZVON_ASTERISK_SECRET"):
        run(Settings(gateway="asterisk"), run_projections=fail)


@pytest.mark.parametrize(
    ("gateway", "name"),
    [
        (SimulatedGatewayKind("127.0.0.1:1"), "simulated"),
        (asterisk_at("10.0.0.5"), "asterisk"),
        (asterisk_at("10.0.0.6"), "asterisk"),
    ],
)
def test_calls_are_kept_under_the_kind_of_their_switch_wherever_it_moves(
    monkeypatch: pytest.MonkeyPatch, gateway: GatewayKind, name: str
) -> None:
    gateways: list[str] = []

    async def lead(*_: object, gateway: str, **__: object) -> None:
        gateways.append(gateway)

    monkeypatch.setattr("interfaces.bootstrap.worker.run_dispatcher", lead)
    pool, listener = Pool("host=nowhere.invalid", size=1, name="test"), Listener("host=nowhere.invalid")
    dispatching = run_dispatching(
        pool, listener, asyncio.Event(), WebhookOptions(), gateway=gateway, pace=Pace(), limits=Limits()
    )
    asyncio.run(dispatching)
    assert gateways == [name]
