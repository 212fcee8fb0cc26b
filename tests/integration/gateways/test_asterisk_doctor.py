"""The examination of an Asterisk: on a fake Manager Interface with defects, and on a real one."""

import re
import ssl
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Self

import pytest
from msgspec.structs import replace

from application.ports.call_gateway import GatewayUnavailable
from application.ports.diagnosis import Check
from infrastructure.gateways.asterisk import doctor
from infrastructure.gateways.asterisk.dialplan import CONTEXTS, missing_pieces
from infrastructure.gateways.asterisk.doctor import examine_asterisk
from infrastructure.gateways.asterisk.options import AsteriskOptions
from tests.asterisk.real_switch import RealSwitch
from tests.asterisk.server import SECRET, SHIPPED, TRUNK, USER
from tests.support.certificates import certificate_for
from tests.support.fake_ami import FakeAmi, ReceivedAction, event

pytestmark = pytest.mark.anyio

ACTIONS = ["Originate", "Hangup", "CoreShowChannels", "CoreStatus", "CoreSettings", "DBGet", "ShowDialPlan", "Ping"]
QUESTIONS = ("link", "rights", "events", "dialplan", "ledger", "trunk", "clock")
ALL_OK = {"switch": "ok", **{f"switch {question}": "ok" for question in QUESTIONS}}


def shipped_dialplan() -> dict[str, list[tuple[str, str, str]]]:
    """Return the shipped contexts, each a list of extension, application and data."""
    contexts: dict[str, list[tuple[str, str, str]]] = {}
    context = extension = ""
    for line in (SHIPPED / "extensions.conf").read_text().splitlines():
        if header := re.fullmatch(r"\[(.*)\]", line):
            context = header[1]
            contexts[context] = []
        elif found := re.fullmatch(r"\s*(?:exten => (\S+),1|same => n(?:\(\w+\))?),(\w+)\((.*)\)", line):
            extension = found[1] or extension
            contexts[context].append((extension, found[2], found[3]))
    return contexts


class Installed:
    """A switch on which everything is installed, until a test breaks a part."""

    def __init__(self, fake: FakeAmi) -> None:
        self.fake = fake
        self.may = list(ACTIONS)
        self.version = "22.10.1"
        self.channel_variable = "ChanVariable: PEREZVON_CALL_ID="
        self.dialplan = shipped_dialplan()
        fake.replies |= {
            "ListCommands": lambda received: received.done(*(f"{action}: does so" for action in self.may)),
            "CoreSettings": lambda received: received.done(f"AsteriskVersion: {self.version}"),
            "Originate": self._place,
            "ShowDialPlan": self._show,
            "Ping": lambda received: received.done("Ping: Pong", f"Timestamp: {time.time():.6f}"),
        }

    async def examine(self) -> dict[str, Check]:
        """Return the doctor's checks by name."""
        return {check.name: check for check in await examine_asterisk(self.fake.options())}

    def _place(self, received: ReceivedAction) -> bytes:
        over = event("Hangup", f"Uniqueid: {received.get('ChannelId')}", self.channel_variable, "Cause: 0")
        return received.done() + event("Hangup", "Uniqueid: another channel") + over

    def _show(self, received: ReceivedAction) -> bytes:
        if (context := received.get("Context")) not in self.dialplan:
            return received.refused(f"Did not find context {context}")
        lines = self.dialplan[context]
        return received.listed(*((f"Extension: {e}", f"Application: {a}", f"AppData: {d}") for e, a, d in lines))


@pytest.fixture
async def installed() -> AsyncGenerator[Installed]:
    async with FakeAmi().serving() as fake:
        yield Installed(fake)


async def test_where_all_is_installed_as_we_ship_it_nothing_is_found(installed: Installed) -> None:
    found = await installed.examine()
    assert {name: check.state for name, check in found.items()} == ALL_OK
    assert all(check.advice is None for check in found.values())
    assert "22.10.1" in found["switch"].message


async def test_no_phone_rings_for_the_doctor(installed: Installed) -> None:
    await installed.examine()
    (placed,) = installed.fake.actions("Originate")
    assert re.fullmatch(r"Local/doctor@perezvon-doctor-[0-9a-f]{32}", placed.get("Channel"))
    received = {received.get("Action") for received in installed.fake.received_actions}
    assert not received & {"DBPut", "DBDel", "Command", "Reload", "Setvar"}


async def test_a_wrong_secret_is_told_with_the_section_to_look_at(installed: Installed) -> None:
    checks = await examine_asterisk(installed.fake.options(secret="wr0ng"))
    *_, last = checks
    assert (last.name, last.state) == ("switch", "fail")
    assert "Authentication failed" in last.message
    assert "[perezvon]" in str(last.advice)
    assert not any("wr0ng" in f"{check}" for check in checks)


async def test_a_switch_that_is_not_there_is_told_with_what_to_look_at() -> None:
    options = AsteriskOptions(host="127.0.0.1", port=1, user="u", secret="s", trunk="t")
    *_, last = await examine_asterisk(options)
    assert (last.name, last.state) == ("switch", "fail")
    assert "bindaddr" in str(last.advice)


async def test_what_was_found_before_the_link_broke_is_told_too(installed: Installed) -> None:
    def cut(received: ReceivedAction) -> bytes:
        installed.fake.cut()
        return received.done()

    installed.fake.replies["DBGet"] = cut
    checks = await examine_asterisk(installed.fake.options())
    assert [check.name for check in checks][-3:] == ["switch events", "switch dialplan", "switch"]
    assert checks[-1].state == "fail"


async def test_a_certificate_that_nobody_vouches_for_is_told_as_such(tmp_path: Path) -> None:
    certificate, key = certificate_for("localhost", tmp_path)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(certificate, key)
    async with FakeAmi(tls=theirs).serving() as fake:
        installed = Installed(fake)
        *_, last = await examine_asterisk(fake.options(host="localhost", tls=ssl.create_default_context()))
        assert "certificate verify failed" in last.message
        assert "PEREZVON_ASTERISK_TLS" in str(last.advice)
        trusted = fake.options(host="localhost", tls=ssl.create_default_context(cafile=certificate))
        assert {check.name: check.state for check in await examine_asterisk(trusted)} == ALL_OK
        assert installed.fake.actions("Login")


async def test_an_old_asterisk_is_refused(installed: Installed) -> None:
    for version in ("16.28.0", "GIT-20-abc"):
        installed.version = version
        assert (await installed.examine())["switch"].state == "fail"
    installed.version = "certified/23.1-cert2"
    assert (await installed.examine())["switch"].state == "ok"


@pytest.mark.parametrize(
    ("action", "word"),
    [
        ("Originate", "originate"), ("Hangup", "call"), ("CoreShowChannels", "reporting"), ("CoreStatus", "reporting"),
        ("DBGet", "reporting"), ("ShowDialPlan", "reporting"),
    ],
)  # fmt: skip
async def test_each_missing_right_is_named_with_the_line_to_mend(installed: Installed, action: str, word: str) -> None:
    installed.may.remove(action)
    found = await installed.examine()
    rights = found["switch rights"]
    assert rights.state == "fail"
    assert rights.message == f"perezvon may not {action}: `write` lacks {word}"
    assert "`write = originate,call,reporting`" in str(rights.advice)
    assert "switch dialplan" not in found


@pytest.mark.parametrize(("action", "word"), [("Command", "command"), ("UpdateConfig", "config"), ("DBPut", "system")])
async def test_each_right_too_many_is_named(installed: Installed, action: str, word: str) -> None:
    installed.may.append(action)
    rights = (await installed.examine())["switch rights"]
    assert rights.state == "warn"
    assert f"may {action} too" in rights.message
    assert f"({word})" in rights.message


async def test_a_switch_that_tells_of_no_calls_is_found_out(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_EVENT_WITHIN_S", 0.1)
    installed.fake.replies["Originate"] = ReceivedAction.done
    events = (await installed.examine())["switch events"]
    assert events.state == "fail"
    assert "`read = call`" in str(events.advice)


async def test_events_without_the_calls_id_are_found_out(installed: Installed) -> None:
    installed.channel_variable = "ChanVariable: OTHER="
    events = (await installed.examine())["switch events"]
    assert events.state == "warn"
    assert "channelvars = PEREZVON_CALL_ID" in str(events.advice)


@pytest.mark.parametrize("context", CONTEXTS)
async def test_a_context_that_is_missing_is_named(installed: Installed, context: str) -> None:
    del installed.dialplan[context]
    dialplan = (await installed.examine())["switch dialplan"]
    assert dialplan.state == "fail"
    assert dialplan.message == f"The dialplan has no context [{context}]"
    assert "dialplan reload" in str(dialplan.advice)


def without(part: str) -> Iterator[tuple[str, list[str]]]:
    """Return each shipped context as text, without the lines that contain that part."""
    for context, lines in shipped_dialplan().items():
        yield context, [text for e, a, d in lines if part not in (text := f"{e} => {a}({d})")]


@pytest.mark.parametrize(
    "part",
    ["B_STARTED=1", "TIMEOUT(absolute)", "CALLERID(num)", "Dial(", "CDR_PROP", "Hangup(", "HANGUPCAUSE_KEYS", "tech)",
     "DB(perezvon/", "Return("],
)  # fmt: skip
def test_each_piece_of_the_dialplan_is_missed(part: str) -> None:
    assert any(missing_pieces(context, lines) for context, lines in without(part))


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("_[+0-9]!", "_X."),
        ("${FILTER(+0-9,${EXTEN})}", "${EXTEN}"),
        ("${PEREZVON_TRUNK}", "mine"),
        (",${B_TIMEOUT},", ",60,"),
        ("S(${MAX_SECONDS})", ""),
        ("|${EPOCH}", ""),
        ("perezvon/${PEREZVON_CALL_ID}", "perezvon/${UNIQUEID}"),
        ("s => ", "_X. => "),
    ],
)
def test_a_piece_of_the_dialplan_that_was_altered_is_missed(part: str, other: str) -> None:
    altered = [(context, [line.replace(part, other) for line in lines]) for context, lines in without("nothing of it")]
    assert [altered_lines for _, altered_lines in altered] != [lines for _, lines in without("nothing of it")]
    assert any(missing_pieces(context, lines) for context, lines in altered)


async def test_a_ledger_that_does_not_answer_is_told(installed: Installed) -> None:
    installed.fake.replies["DBGet"] = lambda received: received.refused("Out of order")
    ledger = (await installed.examine())["switch ledger"]
    assert (ledger.state, ledger.message) == ("fail", "DBGet: Out of order")


async def test_a_trunk_that_does_not_exist_is_told(installed: Installed) -> None:
    installed.fake.replies["PJSIPQualify"] = lambda received: received.refused("Unable to retrieve endpoint")
    trunk = (await installed.examine())["switch trunk"]
    assert trunk.state == "fail"
    assert "No PJSIP endpoint trunk" in trunk.message


@pytest.mark.parametrize(
    ("off_s", "told", "state"),
    [(3600, "+3600 s", "warn"), (-60, "-60 s", "warn"), (-301, "-301 s", "fail"), (1, "agrees", "ok")],
)
async def test_a_clock_that_is_off_is_told(installed: Installed, off_s: float, told: str, state: str) -> None:
    installed.fake.replies["Ping"] = lambda received: received.done(f"Timestamp: {time.time() + off_s}")
    clock = (await installed.examine())["switch clock"]
    assert clock.state == state
    assert told in clock.message


@pytest.mark.parametrize(
    ("host", "state"),
    [("127.0.0.1", "ok"), ("127.9.9.9", "ok"), ("::1", "ok"), ("localhost", "ok"), ("192.0.2.1", "warn"), ("x.invalid", "warn")],
)  # fmt: skip
async def test_plain_text_that_leaves_the_machine_is_warned_of(
    host: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "Ami", _Unreachable)
    options = AsteriskOptions(host=host, port=1, user="u", secret="s", trunk="t")
    link, _ = await examine_asterisk(options)
    assert (link.name, link.state) == ("switch link", state)
    encrypted, _ = await examine_asterisk(replace(options, tls=ssl.create_default_context()))
    assert encrypted.state == "ok"


class _Unreachable:
    """A session that cannot connect, without a delay."""

    def __init__(self, *_: object, **__: object) -> None: ...

    async def __aenter__(self) -> Self:
        raise GatewayUnavailable("no switch")

    async def __aexit__(self, *_: object) -> None: ...


async def test_on_a_real_switch_with_what_we_ship_nothing_is_found(asterisk: RealSwitch) -> None:
    options = AsteriskOptions(host="127.0.0.1", port=asterisk.asterisk.port, user=USER, secret=SECRET, trunk=TRUNK)
    called = asterisk.phones.invites()
    found = {check.name: check for check in await examine_asterisk(options)}
    assert {name: check.state for name, check in found.items()} == ALL_OK
    wrong = {check.name: check for check in await examine_asterisk(replace(options, secret="wrong", trunk="nowhere"))}
    assert "Authentication failed" in wrong["switch"].message
    no_trunk = {check.name: check for check in await examine_asterisk(replace(options, trunk="nowhere"))}
    assert no_trunk["switch trunk"].state == "fail"
    assert [name for name, check in no_trunk.items() if check.state != "ok"] == ["switch trunk"]
    assert asterisk.phones.invites() == called
