"""Mapping of the switch's reports to outcomes (docs/asterisk.md)."""

import re

from domain.callback.events import Leg, Outcome
from infrastructure.gateways.asterisk import metrics

OUR_HANGUP_CAUSE = 8
"""The Q.850 cause with which we hang up, preemption: no phone and no trunk sends it."""

_NO_ANSWER_CAUSE = 19
_BY_SIP = {
    **dict.fromkeys((486, 600), Outcome.BUSY),
    **dict.fromkeys((408, 480), Outcome.NO_ANSWER),
    **dict.fromkeys((403, 603, 607), Outcome.REJECTED),
    **dict.fromkeys((404, 410, 484, 604), Outcome.INVALID_NUMBER),
    **dict.fromkeys((488, 500, 502, 503, 504), Outcome.CONGESTION),
}
_BY_CAUSE = {
    17: Outcome.BUSY,
    **dict.fromkeys((18, 19), Outcome.NO_ANSWER),
    21: Outcome.REJECTED,
    **dict.fromkeys((1, 22, 28), Outcome.INVALID_NUMBER),
}
_CODE = re.compile(r"SIP ([1-6][0-9]{2})\b")


def outcome_of(leg: Leg, dial_status: str, cause: int | None, sip: str) -> tuple[Outcome, Leg | None]:
    """Return the outcome of a call and the leg that failed: by the SIP line of the leg that it reached, then by the cause.

    Args:
        leg: B once A has answered.
        dial_status: the switch's DIALSTATUS of B; empty where B was not dialled.
        cause: the Q.850 cause of A.
        sip: the last SIP status line from the leg's phone, such as ``SIP 486 Busy Here``.
    """
    if leg is Leg.B and dial_status == "ANSWER":
        return Outcome.SUCCESS, None
    if cause == OUR_HANGUP_CAUSE:
        return Outcome.CANCELLED, leg
    if leg is Leg.B and dial_status in {"CANCEL", ""}:  # empty: A had hung up before B was dialled
        return Outcome.ABANDONED, Leg.A
    code = _CODE.match(sip)
    if code is None:  # no response: the trunk is unreachable; or B's phone forwards, which the dialplan refuses
        return (Outcome.BUSY if dial_status == "BUSY" else Outcome.CONGESTION), leg
    return _by_code(leg, int(code[1]), dial_status, cause)


def _by_code(leg: Leg, code: int, dial_status: str, cause: int | None) -> tuple[Outcome, Leg]:
    if code < 200:  # noqa: PLR2004 - not refused: the ring time ran out, or the switch was stopped
        timed_out = cause == _NO_ANSWER_CAUSE if leg is Leg.A else dial_status == "NOANSWER"
        return (Outcome.NO_ANSWER if timed_out else Outcome.LOST), leg
    if code < 300:  # noqa: PLR2004 - answered, and hung up before the other leg answered
        return Outcome.ABANDONED, Leg.A
    if outcome := _BY_SIP.get(code):
        return outcome, leg
    metrics.UNLISTED_CODES.labels(code).inc()
    return _BY_CAUSE.get(cause or 0, Outcome.CONGESTION), leg
