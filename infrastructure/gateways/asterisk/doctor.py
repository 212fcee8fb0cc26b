"""What ``perezvon doctor`` asks an Asterisk: is all installed that docs/asterisk.md tells to install, and no more?"""

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

_OLDEST = 22
_SKEW_S = 2.0
_EVENT_WITHIN_S = 3.0
_NO_ROW = "Database entry not found"
_NEEDED = {  # actions, and the word in `write` that allows each
    "Originate": "originate",
    "Hangup": "call",
    "CoreShowChannels": "reporting",
    "CoreStatus": "reporting",
    "DBGet": "reporting",
    "ShowDialPlan": "reporting",
}
_TOO_MUCH = {"Command": "command", "UpdateConfig": "config", "DBPut": "system"}
_RELOAD = "then `asterisk -rx 'manager reload'`"


async def examine_asterisk(options: AsteriskOptions) -> list[Check]:
    """Ask one question after the other; what depends on a failed answer is not asked. Nothing is changed there.

    Its events are tried out with a call to a context of the dialplan that does not exist: no phone rings.
    """
    checks = [_link(options)]
    heard: asyncio.Queue[Message] = asyncio.Queue()

    def hear(_: Ami, events: Sequence[Message]) -> None:
        for event in events:
            heard.put_nowait(event)

    try:
        async with Ami(options, hear=hear, kinds={b"Hangup"}) as ami:
            may = (await ami.ask("ListCommands")).message
            checks.append(await _version(ami, options, may))
            checks.append(_rights(options, may))
            if checks[-1].state != "fail":
                checks.append(await _events(ami, options, heard))
                checks.append(await _dialplan(ami))
                checks.append(await _ledger(ami))
                checks.append(await _trunk(ami, options))
                checks.append(await _clock(ami))
    except GatewayUnavailable as error:
        checks.append(_away(options, error))
    return checks


def _link(options: AsteriskOptions) -> Check:
    if options.tls or _is_loopback(options.host):
        return passed("switch link", "It is encrypted" if options.tls else "It does not leave this machine")
    message = f"All that is said with {options.address} goes in plain text: numbers, and who calls whom"
    advice = "PEREZVON_ASTERISK_TLS (docs/asterisk.md), unless the way there is a VPN"
    return Check(name="switch link", state="warn", message=message, advice=advice)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _away(options: AsteriskOptions, error: GatewayUnavailable) -> Check:
    if isinstance(error, LoginRefused):
        message = f"{options.address} does not let {options.user} in: {error.reason}"
        advice = (
            f"manager.conf needs a section [{options.user}] (PEREZVON_ASTERISK_USER) whose `secret` is"
            f" PEREZVON_ASTERISK_SECRET and whose `permit` holds this machine; {_RELOAD}"
        )
    elif isinstance(error.__cause__, ssl.SSLError):
        message = f"TLS with {error}"
        advice = (
            "PEREZVON_ASTERISK_TLS must name the CA that signed `tlscertfile` of manager.conf, and"
            " PEREZVON_ASTERISK_ADDRESS the host that it is for and the port of `tlsbindaddr`"
        )
    else:
        message = f"It cannot be reached: {error}"
        advice = (
            "See that Asterisk runs, and that `enabled`, `bindaddr` and `port` in manager.conf fit"
            " PEREZVON_ASTERISK_ADDRESS; a port for TLS answers only with PEREZVON_ASTERISK_TLS"
        )
    return Check(name="switch", state="fail", message=message, advice=advice)


async def _version(ami: Ami, options: AsteriskOptions, may: Message) -> Check:
    found = (await ami.ask("CoreSettings")).message.get("AsteriskVersion") if "CoreSettings" in may else ""
    major = re.search(r"[0-9]+", found)
    reached = f"{options.address} lets {options.user} in"
    if major and int(major[0]) < _OLDEST:
        message, advice = f"{reached}, and is Asterisk {found}", f"Upgrade it: {_OLDEST} or newer is needed"
        return Check(name="switch", state="fail", message=message, advice=advice)
    return passed("switch", f"{reached}: Asterisk {found}" if found else reached)


def _rights(options: AsteriskOptions, may: Message) -> Check:
    missing = {action: word for action, word in _NEEDED.items() if action not in may}
    excess = {action: word for action, word in _TOO_MUCH.items() if action in may}
    line = f"In manager.conf, section [{options.user}]: `write = originate,call,reporting`; {_RELOAD}"
    if missing:
        words = ", ".join(sorted(set(missing.values())))
        message = f"{options.user} may not {', '.join(missing)}: `write` lacks {words}"
        return Check(name="switch rights", state="fail", message=message, advice=line)
    if excess:
        words = ", ".join(sorted(set(excess.values())))
        message = f"{options.user} may {', '.join(excess)} too: whoever has its secret rules the switch ({words})"
        return Check(name="switch rights", state="warn", message=message, advice=line)
    return passed("switch rights", f"{options.user} may do what is needed, and nothing that harms the switch")


async def _events(ami: Ami, options: AsteriskOptions, heard: asyncio.Queue[Message]) -> Check:
    call = f"perezvon-doctor-{uuid4().hex}"
    nowhere = f"Local/doctor@{call}"
    await ami.ask("Originate", Channel=nowhere, ChannelId=call, Application="Hangup", Async="true")
    try:
        async with asyncio.timeout(_EVENT_WITHIN_S):
            while (event := await heard.get()).get("Uniqueid") != call:
                pass
    except TimeoutError:
        message = "It tells nothing of calls: they are noticed late, by asking"
        advice = (
            f"In manager.conf, section [{options.user}]: `read = call`, and no `eventfilter` but those of docs/asterisk;"
            f" {_RELOAD}"
        )
        return Check(name="switch events", state="fail", message=message, advice=advice)
    if event.variable(CALL_ID) is None:
        message = f"Its events do not tell {CALL_ID}: a call that is transferred is taken for ended"
        advice = f"In manager.conf, section [general]: `channelvars = {CALL_ID}`; {_RELOAD}"
        return Check(name="switch events", state="warn", message=message, advice=advice)
    return passed("switch events", "It tells of calls")


async def _dialplan(ami: Ami) -> Check:
    missing: list[str] = []
    for context in CONTEXTS:
        try:
            answer = await ami.ask("ShowDialPlan", Context=context)
        except ActionRefused:
            missing.append(f"no context [{context}]")
        else:
            lines = [f"{i.get('Extension')} => {i.get('Application')}({i.get('AppData')})" for i in answer.items]
            missing += [f"in [{context}] no {piece}" for piece in missing_pieces(context, lines)]
    if missing:
        message = f"The dialplan has {', '.join(missing)}"
        advice = (
            "Put docs/asterisk/extensions.conf of this release into the switch's extensions.conf as it stands;"
            " then `asterisk -rx 'dialplan reload'`"
        )
        return Check(name="switch dialplan", state="fail", message=message, advice=advice)
    return passed("switch dialplan", f"[{'] and ['.join(CONTEXTS)}] are there and whole")


async def _ledger(ami: Ami) -> Check:
    try:
        await ami.ask("DBGet", Family=FAMILY, Key="doctor")
    except ActionRefused as error:
        if error.reason.strip() != _NO_ROW:
            advice = "See that the switch may write the file of its AstDB (`astdbdir` in asterisk.conf)"
            return Check(name="switch ledger", state="fail", message=str(error), advice=advice)
    return passed("switch ledger", "It can be read")


async def _trunk(ami: Ami, options: AsteriskOptions) -> Check:
    try:
        await ami.ask("PJSIPQualify", Endpoint=options.trunk)
    except ActionRefused as error:
        message = f"No PJSIP endpoint {options.trunk}: {error.reason.strip()}"
        advice = "PEREZVON_ASTERISK_TRUNK must name a section of pjsip.conf with `type = endpoint`"
        return Check(name="switch trunk", state="fail", message=message, advice=advice)
    return passed("switch trunk", f"{options.trunk} is there; whether its carrier answers, only a call tells")


async def _clock(ami: Ami) -> Check:
    before = time.time()
    stamp = (await ami.ask("Ping")).message.get("Timestamp")
    skew = float(stamp) - before if re.fullmatch(r"[0-9]+(\.[0-9]+)?", stamp) else 0.0
    if abs(skew) > _SKEW_S:
        message = f"Its clock is {skew:+.0f} s off this machine's"
        loses = skew < -CLOCK_SKEW_MAX.total_seconds()
        if loses:
            message += ": how calls ended while nobody listened is not believed, and they count as lost"
        return Check(name="switch clock", state="fail" if loses else "warn", message=message, advice="Run NTP on both")
    return passed("switch clock", "It agrees with this machine's")
