"""A call as an action Originate of the Manager Interface."""

import re
from collections.abc import Mapping
from math import ceil

import msgspec

from application.ports.call_gateway import Call

CONTEXT = "perezvon"
LEDGER_CONTEXT = "perezvon-ledger"
CALL_ID = "PEREZVON_CALL_ID"

_DIGITS = re.compile(r"[0-9]{1,20}")
_NUMBER = re.compile(r"\+?[0-9]{1,32}")
_CALL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Undialable(ValueError):
    """A part of the call would alter the action or the dial string; the message names the part, and not its value."""


class Originate(msgspec.Struct, frozen=True):
    """Fields and channel variables of an action Originate."""

    fields: Mapping[str, str]
    variables: Mapping[str, str]


def originate(call: Call, trunk: str) -> Originate:
    r"""Return the action that rings A through the trunk and continues at B's number in the dialplan.

    Raises Undialable unless the numbers are ``\+?[0-9]{1,32}``, extensions behind them digits, and the id is a UUID.
    """
    for name in ("a_number", "b_number", "a_sees", "b_sees"):
        if not _NUMBER.fullmatch(getattr(call, name)):
            raise Undialable(name)
    digits = {"A_DIGITS": call.a_digits, "B_DIGITS": call.b_digits}
    for name, value in digits.items():
        if value and not _DIGITS.fullmatch(value):
            raise Undialable(name.lower())
    if not is_call_id(call.id):
        raise Undialable("id")
    fields = {
        "Async": "true",
        "ChannelId": call.id,
        "Channel": f"PJSIP/{call.a_number}@{trunk}",
        "Context": CONTEXT,
        "Exten": call.b_number,
        "Priority": "1",
        "Timeout": str(_seconds(call.ring_a_s) * 1000),
        "CallerID": f'"Callback" <{call.a_sees}>',
    }
    variables = {
        f"__{CALL_ID}": call.id,  # two underscores: B inherits it
        "PEREZVON_TRUNK": trunk,
        "B_TIMEOUT": str(_seconds(call.ring_b_s)),
        "B_CALLER": call.b_sees,
        "MAX_SECONDS": str(_seconds(call.longest_talk_s)),
        "CHANNEL(hangup_handler_push)": rf"{LEDGER_CONTEXT}\,s\,1",
    }
    # w: half a second after the answer, for the greeting of a switchboard to begin
    variables |= {name: f"w{value}" for name, value in digits.items() if value}
    return Originate(fields, variables)


def is_call_id(text: str) -> bool:
    """Return whether the text may be a call id of perezvon: a UUID."""
    return _CALL_ID.fullmatch(text) is not None


def _seconds(seconds: float) -> int:
    return max(1, ceil(seconds))
