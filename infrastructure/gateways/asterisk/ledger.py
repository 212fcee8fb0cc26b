"""Parsing of the switch's ledger: one row for each call that has ended (docs/asterisk.md)."""

import re
from datetime import UTC, datetime

import structlog

from application.ports.call_gateway import Ended
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.outcomes import outcome_of

FAMILY = "perezvon"

_SIP_LINE_MAX = 120
_FIELDS = 7
_CAUSE = re.compile(r"[0-9]{1,3}")
_DIAL_STATUS = re.compile(r"[A-Z]{1,20}")
_SECONDS = re.compile(r"[0-9]{1,9}")

_logger = structlog.get_logger(__name__)


def ended_of(call_id: str, row: str) -> Ended:
    """Return the end that a row ``leg|DIALSTATUS|cause|SIP line of A|SIP line of B|seconds joined|epoch`` describes.

    An unreadable row is counted and logged, and its call counts as lost, with the current time as its end: the row
    proves that the call has ended, but not how. Strangers' phones write parts of a row, so every field is validated.
    """
    try:
        return _read(row)
    except (ValueError, OverflowError, OSError) as error:
        metrics.UNREADABLE_ROWS.inc()
        _logger.warning("ledger row unreadable", call_id=call_id, row=_cleaned(row), error=str(error))
        return Ended(CallEnd(outcome=Outcome.LOST), datetime.now(UTC))


def _read(row: str) -> Ended:
    fields = row.split("|")
    if len(fields) < _FIELDS:
        raise ValueError(f"expected at least {_FIELDS} fields separated by `|`, found {len(fields)}")
    letter, dial_status, cause_text, a_sip, *b_sip, seconds_text, epoch = fields
    leg = Leg(letter.lower())
    cause = int(cause_text) if _CAUSE.fullmatch(cause_text) else None
    sip = {Leg.A: a_sip, Leg.B: "|".join(b_sip)}
    outcome, failed = outcome_of(leg, dial_status, cause, sip[leg])
    end = CallEnd(
        outcome=outcome,
        leg=failed,
        sip=_cleaned(sip[failed or Leg.B]) or None,
        cause=cause,
        dial_status=dial_status if _DIAL_STATUS.fullmatch(dial_status) else None,
        seconds=_seconds(seconds_text) if outcome is Outcome.SUCCESS else None,
    )
    return Ended(end, datetime.fromtimestamp(int(epoch), UTC))


def _seconds(text: str) -> float:
    return float(text) if _SECONDS.fullmatch(text) else 0.0


def _cleaned(text: str) -> str:
    """Return the text for people: shortened, and without control characters."""
    printable = (one if one.isprintable() else " " for one in text[: 2 * _SIP_LINE_MAX])
    return " ".join("".join(printable).split())[:_SIP_LINE_MAX]
