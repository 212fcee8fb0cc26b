"""Outcomes of calls: every row of the mapping table, and what is not in it."""

import pytest

from domain.callback.events import Leg, Outcome
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.outcomes import outcome_of

RINGING = "SIP 180 Ringing"


@pytest.mark.parametrize("leg", Leg)
@pytest.mark.parametrize(
    ("code", "cause", "dial_status", "outcome"),
    [
        (486, 17, "BUSY", Outcome.BUSY),
        (600, 17, "BUSY", Outcome.BUSY),
        (480, 19, "NOANSWER", Outcome.NO_ANSWER),
        (408, 18, "CHANUNAVAIL", Outcome.NO_ANSWER),
        (603, 21, "CHANUNAVAIL", Outcome.REJECTED),
        (403, 21, "CHANUNAVAIL", Outcome.REJECTED),
        (607, 127, "CHANUNAVAIL", Outcome.REJECTED),
        (404, 1, "CHANUNAVAIL", Outcome.INVALID_NUMBER),
        (604, 1, "CHANUNAVAIL", Outcome.INVALID_NUMBER),
        (410, 22, "CHANUNAVAIL", Outcome.INVALID_NUMBER),
        (484, 28, "CHANUNAVAIL", Outcome.INVALID_NUMBER),
        (503, 34, "CONGESTION", Outcome.CONGESTION),
        (500, 38, "CONGESTION", Outcome.CONGESTION),
        (502, 27, "CONGESTION", Outcome.CONGESTION),
        (504, 102, "CONGESTION", Outcome.CONGESTION),
        (488, 58, "CONGESTION", Outcome.CONGESTION),
    ],
)
def test_a_refusal_is_told_by_its_code_on_either_leg(
    *, leg: Leg, code: int, cause: int, dial_status: str, outcome: Outcome
) -> None:
    status = dial_status if leg is Leg.B else ""
    assert outcome_of(leg, status, cause, f"SIP {code} Reason") == (outcome, leg)


@pytest.mark.parametrize(
    ("leg", "dial_status", "cause", "sip", "outcome", "failed"),
    [
        (Leg.B, "ANSWER", 16, "SIP 200 OK", Outcome.SUCCESS, None),
        (Leg.B, "ANSWER", 8, "SIP 200 OK", Outcome.SUCCESS, None),
        (Leg.A, "", 19, RINGING, Outcome.NO_ANSWER, Leg.A),
        (Leg.B, "NOANSWER", 16, RINGING, Outcome.NO_ANSWER, Leg.B),
        (Leg.A, "", 19, "SIP 100 Trying", Outcome.NO_ANSWER, Leg.A),
        (Leg.A, "", 18, "", Outcome.CONGESTION, Leg.A),
        (Leg.A, "", 19, "", Outcome.CONGESTION, Leg.A),
        (Leg.B, "NOANSWER", 19, "", Outcome.CONGESTION, Leg.B),
        (Leg.B, "CHANUNAVAIL", None, "", Outcome.CONGESTION, Leg.B),
        (Leg.B, "BUSY", 16, "", Outcome.BUSY, Leg.B),
        (Leg.B, "CANCEL", 0, RINGING, Outcome.ABANDONED, Leg.A),
        (Leg.A, "", 16, "SIP 200 OK", Outcome.ABANDONED, Leg.A),
        (Leg.B, "", 16, "", Outcome.ABANDONED, Leg.A),
        (Leg.A, "", 8, RINGING, Outcome.CANCELLED, Leg.A),
        (Leg.B, "CANCEL", 8, RINGING, Outcome.CANCELLED, Leg.B),
        (Leg.A, "", 0, RINGING, Outcome.LOST, Leg.A),
        (Leg.B, "CHANUNAVAIL", 0, RINGING, Outcome.LOST, Leg.B),
    ],
)
def test_what_nobody_refused_is_told_by_the_switch(
    *, leg: Leg, dial_status: str, cause: int | None, sip: str, outcome: Outcome, failed: Leg | None
) -> None:
    assert outcome_of(leg, dial_status, cause, sip) == (outcome, failed)


@pytest.mark.parametrize(
    ("code", "cause", "outcome"),
    [
        (499, 17, Outcome.BUSY),
        (499, 21, Outcome.REJECTED),
        (499, 1, Outcome.INVALID_NUMBER),
        (302, 23, Outcome.CONGESTION),
        (699, None, Outcome.CONGESTION),
    ],
)
def test_an_unlisted_code_is_told_by_the_cause_and_counted(code: int, cause: int | None, outcome: Outcome) -> None:
    counter = metrics.UNLISTED_CODES.labels(code)
    before = counter._value.get()
    assert outcome_of(Leg.B, "CHANUNAVAIL", cause, f"SIP {code} What") == (outcome, Leg.B)
    assert counter._value.get() == before + 1


@pytest.mark.parametrize("sip", ["SIP 4040 Long", "SIP 40", "HTTP 404", " SIP 404", "SIP 999 None", "SIP ٤٠٤"])
def test_what_is_no_status_line_is_as_good_as_none(sip: str) -> None:
    assert outcome_of(Leg.A, "", 19, sip) == (Outcome.CONGESTION, Leg.A)
