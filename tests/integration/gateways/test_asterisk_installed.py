"""The files that an operator installs (docs/asterisk): rights, numbers, TLS, and the purge of the ledger."""

import os
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from application.ports.call_gateway import Call, CallOver, LinkUp
from domain.callback.events import Outcome
from infrastructure.gateways.asterisk.ami import ActionRefused, Ami, LoginRefused
from infrastructure.gateways.asterisk.client import AsteriskGateway
from infrastructure.gateways.asterisk.options import AsteriskOptions
from tests.asterisk.real_switch import RealSwitch
from tests.asterisk.server import SECRET, TRUNK, USER
from tests.support.switches import EventCollector

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[3] / "docs/asterisk.md"


@pytest.fixture
def options(asterisk: RealSwitch) -> AsteriskOptions:
    host, _, port = asterisk.asterisk.address.partition(":")
    return AsteriskOptions(host=host, port=int(port), user=USER, secret=SECRET, trunk=TRUNK)


@pytest.fixture
async def ami(options: AsteriskOptions) -> AsyncIterator[Ami]:
    async with Ami(options, timeout_s=5.0) as connected:
        yield connected


def call_of(a: str, b: str) -> Call:
    return Call(id=str(uuid4()), a_number=a, b_number=b, a_sees="7277001", b_sees="7277002", ring_a_s=2, ring_b_s=2)


async def ended(options: AsteriskOptions, call: Call) -> Outcome:
    async with AsteriskGateway(options) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda event: isinstance(event, LinkUp))
        await gateway.place(call)
        over = await collector.until(lambda event: isinstance(event, CallOver) and event.call_id == call.id)
    assert isinstance(over, CallOver)
    return over.end.outcome


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("Command", {"Command": "core show version"}),
        ("DBPut", {"Family": "perezvon", "Key": "a", "Val": "b"}),
        ("DBDel", {"Family": "perezvon", "Key": "a"}),
        ("DBDelTree", {"Family": "perezvon"}),
        ("UpdateConfig", {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"}),
        ("GetConfig", {"Filename": "manager.conf"}),
        ("ModuleLoad", {"LoadType": "load", "Module": "app_system.so"}),
        ("Originate", {"Channel": "Local/1@perezvon", "Application": "System", "Data": "true"}),
    ],
)
async def test_our_user_gets_no_shell_and_alters_no_ledger(ami: Ami, action: str, fields: dict[str, str]) -> None:
    with pytest.raises(ActionRefused) as refusal:
        await ami.request(action, {}, **fields)
    assert refusal.value.reason in {"Permission denied", "Originate Access Forbidden: app or data blacklisted"}


async def test_a_wrong_secret_lets_nobody_in(options: AsteriskOptions) -> None:
    with pytest.raises(LoginRefused):
        async with Ami(replace(options, secret="not the secret"), timeout_s=5.0):
            pass


async def test_each_phone_sees_the_number_that_it_is_to_see(options: AsteriskOptions, asterisk: RealSwitch) -> None:
    call = replace(call_of("11990001", "10990002"), longest_talk_s=1)
    assert await ended(options, call) is Outcome.SUCCESS
    seen = {number: [one.caller for one in asterisk.phones.calls_of(number)] for number in ("11990001", "10990002")}
    assert seen == {"11990001": ["7277001"], "10990002": ["7277002"]}


async def test_a_call_can_be_placed_by_tls(options: AsteriskOptions, asterisk: RealSwitch) -> None:
    host, _, port = asterisk.asterisk.tls_address.partition(":")
    tls = ssl.create_default_context(cafile=asterisk.asterisk.certificate)
    assert await ended(replace(options, host=host, port=int(port), tls=tls), call_of("20", "10")) is Outcome.BUSY


def test_the_purge_of_the_page_takes_old_rows_alone(asterisk: RealSwitch, tmp_path: Path) -> None:
    (tmp_path / "asterisk").write_text(f'#!/bin/sh\nexec {asterisk.asterisk.cli} "$@"\n')
    (tmp_path / "asterisk").chmod(0o755)
    now = int(time.time())
    rows = {str(uuid4()): now - age for age in (0, 6 * 86_400, 8 * 86_400, 400 * 86_400)}
    for key, epoch in rows.items():
        asterisk.asterisk.command(f'database put perezvon {key} "B|BUSY|17|SIP 200 OK|SIP 486 A: /b c||{epoch}"')
    purge = PAGE.read_text().partition('```sh title="Purge the ledger"\n')[2].partition("```")[0]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-euc", purge], env=environment, check=True, capture_output=True, timeout=30)
    kept = asterisk.asterisk.command("database show perezvon")
    assert [key in kept for key in rows] == [True, True, False, False]
