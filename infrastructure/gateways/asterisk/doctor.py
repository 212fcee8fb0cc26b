"""Examination of an Asterisk: everything that docs/asterisk.md requires is installed, and no more is permitted."""

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from ipaddress import ip_address
from uuid import uuid4

from application.ports.call_gateway import CLOCK_SKEW_MAX, GatewayUnavailable
from application.ports.diagnosis import Check, passed
from infrastructure.gateways.asterisk.ami import ActionRefused, Ami, LoginRefused
from infrastructure.gateways.asterisk.dialplan import CONTEXTS, missing_pieces
from infrastructure.gateways.asterisk.ledger import FAMILY
from infrastructure.gateways.asterisk.messages import Message
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.asterisk.originate import CALL_ID

_VERSION_MIN = 22
_SKEW_S = 2.0
_EVENT_WITHIN_S = 3.0
_NO_ROW = "Database entry not found"
_REQUIRED = {  # actions, and the class in `write` that permits each
    "Originate": "originate",
    "Hangup": "call",
    "CoreShowChannels": "reporting",
    "CoreStatus": "reporting",
    "DBGet": "reporting",
    "ShowDialPlan": "reporting",
}
_EXCESSIVE = {"Command": "command", "UpdateConfig": "config", "DBPut": "system"}
_RELOAD = "then `asterisk -rx 'manager reload'`"


async def examine_asterisk(options: AsteriskOptions) -> list[Check]:
    """Run the checks in order; those that depend on a failed one are skipped. Nothing is changed there.

    Events are tested with a call to a dialplan context that does not exist: no phone rings.
    """
    checks = [_link(options)]
    received: asyncio.Queue[Message] = asyncio.Queue()

    def receive(_: Ami, events: Sequence[Message]) -> None:
        for event in events:
            received.put_nowait(event)

    try:
        async with Ami(options, on_events=receive, kinds={b"Hangup"}) as ami:
            permitted = (await ami.request("ListCommands")).message
            checks.append(await _version(ami, options, permitted))
            checks.append(_rights(options, permitted))
            if checks[-1].state != "fail":
                checks.append(await _events(ami, options, received))
                checks.append(await _dialplan(ami))
                checks.append(await _ledger(ami))
                checks.append(await _trunk(ami, options))
                checks.append(await _clock(ami))
    except GatewayUnavailable as error:
        checks.append(_unreachable(options, error))
    return checks


def _link(options: AsteriskOptions) -> Check:
    if options.tls or _is_loopback(options.host):
        return passed("switch link", "The link is encrypted" if options.tls else "The link does not leave this machine")
    message = f"The link to {options.address} is plain text: it shows the phone numbers of all calls"
    advice = "Set PEREZVON_ASTERISK_TLS (docs/asterisk.md), unless the link runs through a VPN"
    return Check(name="switch link", state="warn", message=message, advice=advice)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unreachable(options: AsteriskOptions, error: GatewayUnavailable) -> Check:
    if isinstance(error, LoginRefused):
        message = f"{options.address} refuses the login of {options.user}: {error.reason}"
        advice = (
            f"manager.conf needs a section [{options.user}] (PEREZVON_ASTERISK_USER) whose `secret` is"
            f" PEREZVON_ASTERISK_SECRET and whose `permit` contains this machine; {_RELOAD}"
        )
    elif isinstance(error.__cause__, ssl.SSLError):
        message = f"TLS with {error}"
        advice = (
            "PEREZVON_ASTERISK_TLS must name the CA that signed `tlscertfile` of manager.conf, and"
            " PEREZVON_ASTERISK_ADDRESS the host of the certificate and the port of `tlsbindaddr`"
        )
    else:
        message = f"The switch cannot be reached: {error}"
        advice = (
            "Check that Asterisk runs, and that `enabled`, `bindaddr` and `port` in manager.conf match"
            " PEREZVON_ASTERISK_ADDRESS; a port for TLS responds only with PEREZVON_ASTERISK_TLS"
        )
    return Check(name="switch", state="fail", message=message, advice=advice)


async def _version(ami: Ami, options: AsteriskOptions, permitted: Message) -> Check:
    found = (await ami.request("CoreSettings")).message.get("AsteriskVersion") if "CoreSettings" in permitted else ""
    major = re.search(r"[0-9]+", found)
    reached = f"{options.address} accepts the login of {options.user}"
    if major and int(major[0]) < _VERSION_MIN:
        message, advice = f"{reached}, and is Asterisk {found}", f"Upgrade Asterisk to version {_VERSION_MIN} or newer"
        return Check(name="switch", state="fail", message=message, advice=advice)
    return passed("switch", f"{reached}: Asterisk {found}" if found else reached)


def _rights(options: AsteriskOptions, permitted: Message) -> Check:
    missing = {action: word for action, word in _REQUIRED.items() if action not in permitted}
    excess = {action: word for action, word in _EXCESSIVE.items() if action in permitted}
    line = f"In manager.conf, section [{options.user}]: `write = originate,call,reporting`; {_RELOAD}"
    if missing:
        words = ", ".join(sorted(set(missing.values())))
        message = f"{options.user} may not {', '.join(missing)}: `write` lacks {words}"
        return Check(name="switch rights", state="fail", message=message, advice=line)
    if excess:
        words = ", ".join(sorted(set(excess.values())))
        message = f"{options.user} may {', '.join(excess)} too: its secret gives control of the switch ({words})"
        return Check(name="switch rights", state="warn", message=message, advice=line)
    return passed("switch rights", f"{options.user} has the required rights, and none that harm the switch")


async def _events(ami: Ami, options: AsteriskOptions, received: asyncio.Queue[Message]) -> Check:
    call = f"perezvon-doctor-{uuid4().hex}"
    nowhere = f"Local/doctor@{call}"
    await ami.request("Originate", Channel=nowhere, ChannelId=call, Application="Hangup", Async="true")
    try:
        async with asyncio.timeout(_EVENT_WITHIN_S):
            while (event := await received.get()).get("Uniqueid") != call:
                pass
    except TimeoutError:
        message = "The switch sends no events of calls: their ends are found late, by queries"
        advice = (
            f"In manager.conf, section [{options.user}]: `read = call`, and no `eventfilter` but those of docs/asterisk;"
            f" {_RELOAD}"
        )
        return Check(name="switch events", state="fail", message=message, advice=advice)
    if event.variable(CALL_ID) is None:
        message = f"Events lack {CALL_ID}: a transferred call is considered ended"
        advice = f"In manager.conf, section [general]: `channelvars = {CALL_ID}`; {_RELOAD}"
        return Check(name="switch events", state="warn", message=message, advice=advice)
    return passed("switch events", "The switch sends events of calls")


async def _dialplan(ami: Ami) -> Check:
    missing: list[str] = []
    for context in CONTEXTS:
        try:
            response = await ami.request("ShowDialPlan", Context=context)
        except ActionRefused:
            missing.append(f"no context [{context}]")
        else:
            lines = [f"{i.get('Extension')} => {i.get('Application')}({i.get('AppData')})" for i in response.items]
            missing += [f"in [{context}] no {piece}" for piece in missing_pieces(context, lines)]
    if missing:
        message = f"The dialplan has {', '.join(missing)}"
        advice = (
            "Put docs/asterisk/extensions.conf of this release into the switch's extensions.conf unchanged;"
            " then `asterisk -rx 'dialplan reload'`"
        )
        return Check(name="switch dialplan", state="fail", message=message, advice=advice)
    return passed("switch dialplan", f"[{'] and ['.join(CONTEXTS)}] are complete")


async def _ledger(ami: Ami) -> Check:
    try:
        await ami.request("DBGet", Family=FAMILY, Key="doctor")
    except ActionRefused as error:
        if error.reason.strip() != _NO_ROW:
            advice = "Check that the switch may write its AstDB file (`astdbdir` in asterisk.conf)"
            return Check(name="switch ledger", state="fail", message=str(error), advice=advice)
    return passed("switch ledger", "The ledger can be read")


async def _trunk(ami: Ami, options: AsteriskOptions) -> Check:
    try:
        await ami.request("PJSIPQualify", Endpoint=options.trunk)
    except ActionRefused as error:
        message = f"No PJSIP endpoint {options.trunk}: {error.reason.strip()}"
        advice = "PEREZVON_ASTERISK_TRUNK must name a section of pjsip.conf with `type = endpoint`"
        return Check(name="switch trunk", state="fail", message=message, advice=advice)
    return passed("switch trunk", f"{options.trunk} exists; only a call shows whether its carrier responds")


async def _clock(ami: Ami) -> Check:
    before = time.time()
    stamp = (await ami.request("Ping")).message.get("Timestamp")
    skew = float(stamp) - before if re.fullmatch(r"[0-9]+(\.[0-9]+)?", stamp) else 0.0
    if abs(skew) > _SKEW_S:
        message = f"The switch's clock is {skew:+.0f} s off this machine's"
        loses = skew < -CLOCK_SKEW_MAX.total_seconds()
        if loses:
            message += ": ends of calls that happened without a connection are rejected, and the calls count as lost"
        return Check(name="switch clock", state="fail" if loses else "warn", message=message, advice="Run NTP on both")
    return passed("switch clock", "The switch's clock agrees with this machine's")
