"""Rows of the switch's ledger: their meaning, and that no row can do harm."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.call_gateway import Ended
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.ledger import ended_of

AT = datetime(2026, 11, 22, 10, 7, 40, tzinfo=UTC)
EPOCH = int(AT.timestamp())


@pytest.mark.parametrize(
    ("row", "end"),
    [
        (
            "B|ANSWER|16|SIP 200 OK|SIP 200 OK|61|",
            CallEnd(outcome=Outcome.SUCCESS, sip="SIP 200 OK", cause=16, dial_status="ANSWER", seconds=61.0),
        ),
        (
            "B|ANSWER|8|SIP 200 OK|SIP 200 OK||",
            CallEnd(outcome=Outcome.SUCCESS, sip="SIP 200 OK", cause=8, dial_status="ANSWER", seconds=0.0),
        ),
        (
            "B|BUSY|17|SIP 200 OK|SIP 486 Busy Here||",
            CallEnd(outcome=Outcome.BUSY, leg=Leg.B, sip="SIP 486 Busy Here", cause=17, dial_status="BUSY"),
        ),
        ("A||17|SIP 486 Busy|||", CallEnd(outcome=Outcome.BUSY, leg=Leg.A, sip="SIP 486 Busy", cause=17)),
        (
            "B|CANCEL|0|SIP 200 OK|SIP 180 Ringing||",
            CallEnd(outcome=Outcome.ABANDONED, leg=Leg.A, sip="SIP 200 OK", cause=0, dial_status="CANCEL"),
        ),
        ("A||8|SIP 180 Ringing|||", CallEnd(outcome=Outcome.CANCELLED, leg=Leg.A, sip="SIP 180 Ringing", cause=8)),
        ("A||||||", CallEnd(outcome=Outcome.CONGESTION, leg=Leg.A)),
    ],
)
def test_a_row_tells_how_a_call_ended_and_when(row: str, end: CallEnd) -> None:
    assert ended_of("id", f"{row}{EPOCH}") == Ended(end, AT)


def test_what_strangers_wrote_is_cut_and_moves_no_cursor() -> None:
    reason = "\x1b[2J\0\x07\u202e\n" + "x" * 5000
    ended = ended_of("id", f"B|BUSY|17|SIP 200 OK|SIP 486 Busy {reason}||{EPOCH}")
    assert ended.end.outcome is Outcome.BUSY
    assert ended.end.sip is not None
    assert ended.end.sip.startswith("SIP 486 Busy [2J x")
    assert ended.end.sip.isprintable()
    assert len(ended.end.sip) == 120


def test_a_bar_in_what_b_said_changes_nothing() -> None:
    ended = ended_of("id", f"B|BUSY|17|SIP 200 OK|SIP 486 Busy|Here|or|there||{EPOCH}")
    assert ended == Ended(
        CallEnd(outcome=Outcome.BUSY, leg=Leg.B, sip="SIP 486 Busy|Here|or|there", cause=17, dial_status="BUSY"), AT
    )


@pytest.mark.parametrize(
    "row",
    [
        "",
        "nonsense",
        "|||||",
        f"C||17|SIP 486 Busy|||{EPOCH}",
        "A||17|SIP 486 Busy|||",
        "A||17|SIP 486 Busy|||soon",
        "A||17|SIP 486 Busy|||" + "9" * 30,
        "A||17|SIP 486 Busy|||" + "9" * 9000,
        "A||17|SIP 486 Busy|||-" + "9" * 18,
    ],
)
def test_a_row_that_cannot_be_read_is_counted_and_its_call_is_lost_for_it_has_ended(row: str) -> None:
    before = metrics.UNREADABLE_ROWS._value.get()
    ended = ended_of("id", row)
    assert ended.end == CallEnd(outcome=Outcome.LOST)
    assert abs(datetime.now(UTC) - ended.at) < timedelta(minutes=1)
    assert metrics.UNREADABLE_ROWS._value.get() == before + 1


@pytest.mark.parametrize(
    "row", [f"B|answered by all|99999|SIP 200 OK|SIP 180|-5|{EPOCH}", f"B|{'X' * 99}|x|SIP 200 OK|SIP 180|x|{EPOCH}"]
)
def test_words_that_no_switch_says_are_left_out(row: str) -> None:
    assert ended_of("id", row).end == CallEnd(outcome=Outcome.LOST, leg=Leg.B, sip="SIP 180")


@given(st.text() | st.lists(st.text(max_size=9), min_size=7, max_size=9).map("|".join))
def test_any_row_tells_of_an_end(row: str) -> None:
    ended = ended_of("id", row)
    assert ended.end.sip is None or (ended.end.sip.isprintable() and len(ended.end.sip) <= 120)
    assert ended.at.tzinfo is UTC
