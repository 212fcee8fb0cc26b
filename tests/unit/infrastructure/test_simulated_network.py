"""The simulated phone network, with a manual clock: no test waits."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from application.ports.call_gateway import Absent, Call, CallOver, CallProgressed, Ended, Live, PlaceResult, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.gateways.simulated.capacity import Capacity
from infrastructure.gateways.simulated.event_stream import Event
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.ledger import Ledger
from infrastructure.gateways.simulated.network import Network

BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
ANSWERS, RINGS = "1001", "3001"
CALL = Call(id="call", a_number=ANSWERS, b_number=ANSWERS, a_sees="100", b_sees="100")


class Sim:
    """A network, and a clock that is moved by hand."""

    def __init__(self, **options: object) -> None:
        self.seconds = 0.0
        self.network = Network(clock=lambda: BEGIN.timestamp() + self.seconds, **options)  # pyright: ignore[reportArgumentType] - a test names them

    def place(self, a: str = ANSWERS, b: str = ANSWERS, call_id: str = "call") -> PlaceResult:
        return self.network.place(Call(id=call_id, a_number=a, b_number=b, a_sees="100", b_sees="100"))

    def pass_(self, seconds: float) -> list[Event]:
        """Advance the clock, and return the events."""
        self.seconds += seconds
        return self.network.drain_events()

    def events_of(self, call: Call) -> list[Progress | CallEnd]:
        """Return the events of one call from start to end."""
        self.network.place(call)
        return [_gist(event) for event in self.pass_(600)]

    def end(self, a: str = ANSWERS, b: str = ANSWERS, call_id: str = "call") -> CallEnd:
        self.place(a, b, call_id)
        self.pass_(600)
        (found,) = self.network.find([call_id])
        assert isinstance(found, Ended)
        return found.end


def _gist(event: Event) -> Progress | CallEnd:
    return event.progress if isinstance(event, CallProgressed) else event.end


@pytest.mark.parametrize("number", ["1001", "+77010001001", "91234"])
def test_the_thousands_digit_decides_however_a_number_is_written(number: str) -> None:
    assert Sim().end(number, "2001") == CallEnd(
        outcome=Outcome.BUSY, leg=Leg.B, sip="SIP 486 Busy Here", cause=17, dial_status="BUSY"
    )


def test_who_is_joined_rings_two_seconds_each_and_talks_ten() -> None:
    sim = Sim()
    sim.place()
    for seconds, events in (
        (0.0, [CallProgressed("call", Progress.RINGING_A)]),
        (1.9, []),
        (0.1, [CallProgressed("call", Progress.RINGING_B)]),
        (1.9, []),
        (0.1, [CallProgressed("call", Progress.JOINED)]),
        (9.9, []),
    ):
        assert sim.pass_(seconds) == events
    (over,) = sim.pass_(0.1)
    end = CallEnd(outcome=Outcome.SUCCESS, sip="SIP 200 OK", cause=16, dial_status="ANSWER", seconds=10)
    assert over == CallOver("call", end)
    assert sim.network.find(["call"]) == [Ended(end, BEGIN + timedelta(seconds=14))]


@pytest.mark.parametrize(
    ("number", "outcome", "sip", "cause", "word", "seconds"),
    [
        ("2001", Outcome.BUSY, "SIP 486 Busy Here", (17, 17), "BUSY", 0),
        ("3001", Outcome.NO_ANSWER, "SIP 180 Ringing", (19, 16), "NOANSWER", 30),
        ("4001", Outcome.REJECTED, "SIP 603 Decline", (21, 21), "CHANUNAVAIL", 2),
        ("5001", Outcome.INVALID_NUMBER, "SIP 404 Not Found", (1, 1), "CHANUNAVAIL", 0),
        ("6001", Outcome.CONGESTION, "SIP 503 Service Unavailable", (34, 34), "CONGESTION", 0),
    ],
)
def test_a_phone_fails_alike_as_a_and_as_b(
    *, number: str, outcome: Outcome, sip: str, cause: tuple[int, int], word: str, seconds: float
) -> None:
    as_a, as_b = Sim(), Sim()
    assert as_a.end(number, ANSWERS) == CallEnd(outcome=outcome, leg=Leg.A, sip=sip, cause=cause[0])
    assert as_b.end(ANSWERS, number) == CallEnd(outcome=outcome, leg=Leg.B, sip=sip, cause=cause[1], dial_status=word)
    assert [_ended_after(sim) for sim in (as_a, as_b)] == [seconds, 2 + seconds]


def _ended_after(sim: Sim) -> float:
    (found,) = sim.network.find(["call"])
    assert isinstance(found, Ended)
    return (found.at - BEGIN).total_seconds()


def test_a_that_leaves_is_gone_while_b_rings() -> None:
    *events, end = Sim().events_of(replace(CALL, a_number="7001", b_number=RINGS))
    assert events == [Progress.RINGING_A, Progress.RINGING_B]
    assert end == CallEnd(outcome=Outcome.ABANDONED, leg=Leg.A, sip="SIP 200 OK", dial_status="CANCEL")


def test_a_that_leaves_does_not_hide_that_b_is_busy() -> None:
    assert Sim().end("7001", "2001").outcome is Outcome.BUSY


def test_b_that_leaves_was_joined_for_a_second() -> None:
    end = Sim().end(ANSWERS, "7001")
    assert (end.outcome, end.seconds) == (Outcome.SUCCESS, 1)


def test_eight_is_busy_at_the_first_attempt_of_a_number_and_answers_afterwards() -> None:
    sim = Sim()
    ends = [sim.end("8001", "8002", call_id) for call_id in ("1", "2", "3")]
    assert [(end.outcome, end.leg) for end in ends] == [
        (Outcome.BUSY, Leg.A),
        (Outcome.BUSY, Leg.B),
        (Outcome.SUCCESS, None),
    ]


@pytest.mark.parametrize("number", ["9001", "+77010000001", "101"])
def test_what_is_left_to_chance_is_various_and_the_same_for_a_seed(number: str) -> None:
    def ends(seed: int) -> list[CallEnd]:
        sim = Sim(seed=seed)
        return [sim.end(number, ANSWERS, f"call {n}") for n in range(100)]

    assert ends(1) == ends(1) != ends(2)
    assert {end.outcome for end in ends(1)} >= {Outcome.SUCCESS, Outcome.BUSY, Outcome.NO_ANSWER}


def test_a_call_brings_its_own_limits() -> None:
    assert [Sim().events_of(replace(CALL, ring_a_s=1.9))[-1], Sim().events_of(replace(CALL, ring_b_s=1.9))[-1]] == [
        CallEnd(outcome=Outcome.NO_ANSWER, leg=Leg.A, sip="SIP 180 Ringing", cause=19),
        CallEnd(outcome=Outcome.NO_ANSWER, leg=Leg.B, sip="SIP 180 Ringing", cause=16, dial_status="NOANSWER"),
    ]
    end = Sim().events_of(replace(CALL, longest_talk_s=3))[-1]
    assert isinstance(end, CallEnd)
    assert end.seconds == 3


def test_speed_divides_all_durations() -> None:
    sim = Sim(speed=10)
    sim.place()
    assert len(sim.pass_(1.39)) == 3
    assert len(sim.pass_(0.02)) == 1


def test_at_a_great_speed_calls_take_no_time_and_happen_in_order() -> None:
    sim = Sim(speed=1e9)
    sim.place("7001", ANSWERS)
    sim.place(call_id="other")
    events = sim.pass_(1e-6)
    assert [_gist(event) for event in events if event.call_id == "call"][:2] == [Progress.RINGING_A, Progress.RINGING_B]
    assert [event for event in events if event.call_id == "other"][2:-1] == [CallProgressed("other", Progress.JOINED)]
    assert [type(found) for found in sim.network.find(["call", "other"])] == [Ended, Ended]


@pytest.mark.parametrize(
    ("after_s", "live", "outcome", "leg", "seconds"),
    [
        (1, Progress.RINGING_A, Outcome.CANCELLED, Leg.A, None),
        (3, Progress.RINGING_B, Outcome.CANCELLED, Leg.B, None),
        (9, Progress.JOINED, Outcome.SUCCESS, None, 5),
    ],
)
def test_a_call_can_be_hung_up_at_any_time(
    after_s: float, live: Progress, outcome: Outcome, leg: Leg | None, seconds: float | None
) -> None:
    sim = Sim()
    sim.place()
    sim.pass_(after_s)
    assert sim.network.find(["call"]) == [Live(live)]
    sim.network.hang_up("call")
    sim.network.hang_up("call")
    (over,) = sim.pass_(600)
    assert isinstance(over, CallOver)
    assert (over.end.outcome, over.end.leg, over.end.seconds) == (outcome, leg, seconds)


def test_beyond_its_capacity_in_calls_there_is_congestion() -> None:
    sim = Sim(capacity=Capacity(calls=2))
    for call_id in ("1", "2", "3"):
        assert sim.place(call_id=call_id) is PlaceResult.ACCEPTED
    sim.pass_(14)
    sim.place(call_id="4")
    sim.pass_(14)
    outcomes = [found.end.outcome for found in sim.network.find("1234") if isinstance(found, Ended)]
    assert outcomes == [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.CONGESTION, Outcome.SUCCESS]
    assert sim.network.counts().most == 2


def test_beyond_its_capacity_in_calls_a_second_there_is_congestion() -> None:
    sim = Sim(capacity=Capacity(calls_per_second=2))

    def outcomes(name: str) -> list[bool]:
        for n in range(4):
            sim.place("2001", call_id=f"{name}{n}")
        found = sim.network.find([f"{name}{n}" for n in range(4)])
        return [isinstance(one, Ended) and one.end.outcome is Outcome.CONGESTION for one in found]

    assert outcomes("first") == [False, False, True, True]
    sim.pass_(0.5)
    assert outcomes("second") == [False, True, True, True]


def test_a_live_id_is_not_dialled_again_an_ended_one_is_and_both_are_counted() -> None:
    sim = Sim()
    sim.place()
    assert sim.place() is PlaceResult.UNKNOWN
    counts = sim.network.counts()
    assert (counts.placed, counts.most_dials, counts.live_again, counts.dialled_again) == (1, 1, 1, 0)
    sim.pass_(600)
    assert sim.end("2001").outcome is Outcome.BUSY, "the row is overwritten"
    counts = sim.network.counts()
    assert (counts.placed, counts.most_dials, counts.examples) == (2, 2, ["call"])
    assert counts.outcomes == {Outcome.SUCCESS: 1, Outcome.BUSY: 1}


def test_the_most_that_ran_at_once_is_counted() -> None:
    sim = Sim()
    for call_id in ("1", "2", "3"):
        sim.place(call_id=call_id)
    sim.pass_(14)
    sim.place(call_id="4")
    counts = sim.network.counts()
    assert (counts.running, counts.most) == (1, 3)


@pytest.mark.parametrize("keep_ledger", [True, False])
def test_a_restart_loses_what_runs_and_perhaps_the_ledger(*, keep_ledger: bool) -> None:
    sim = Sim()
    started = sim.network.started
    sim.end("2001", call_id="ended")
    sim.place(call_id="runs")
    sim.network.restart(keep_ledger=keep_ledger)
    assert sim.network.started != started
    ended, runs = sim.network.find(["ended", "runs"])
    assert isinstance(ended, Ended if keep_ledger else Absent)
    assert runs == Absent()
    assert sim.pass_(600) == [], "a vanished call causes no event"
    sim.end(call_id="ended")
    assert sim.network.counts().most_dials == 2, "the count outlives what the switch forgets"


def test_a_network_that_refuses_dials_nothing() -> None:
    sim = Sim(faults=Faults(refuse=True))
    assert sim.place() is PlaceResult.REFUSED
    assert sim.network.find(["call"]) == [Absent()]
    assert sim.network.counts().placed == 0


def test_events_are_lost_but_what_happened_is_known() -> None:
    sim = Sim(faults=Faults(lose=1))
    assert sim.events_of(CALL) == []
    assert isinstance(sim.network.find(["call"])[0], Ended)


def test_events_are_doubled() -> None:
    first, second, *_ = Sim(faults=Faults(double=1)).events_of(CALL)
    assert first == second == Progress.RINGING_A


def test_events_are_late() -> None:
    sim = Sim(faults=Faults(delay=1, delay_s=5))
    sim.place("2001")
    assert sim.pass_(4.9) == []
    assert len(sim.pass_(0.1)) == 1


def test_events_change_places() -> None:
    events = Sim(seed=1, faults=Faults(reorder=0.5)).events_of(CALL)
    plain = Sim().events_of(CALL)
    assert events != plain
    assert sorted(map(str, events)) == sorted(map(str, plain))


def test_some_events_are_lost_by_the_seed() -> None:
    def events(seed: int) -> list[Progress | CallEnd]:
        return Sim(seed=seed, faults=Faults(lose=0.5)).events_of(CALL)

    assert events(3) == events(3)
    assert {len(events(seed)) for seed in range(20)} >= {1, 2, 3}


def test_the_ledger_forgets_the_oldest_rows_first() -> None:
    ledger = Ledger(rows=2)
    busy = CallEnd(outcome=Outcome.BUSY)
    for call_id in "abc":
        ledger.dialled(call_id)
        ledger.write(call_id, busy, 1.0)
    assert [ledger.row(call_id) for call_id in "abc"] == [None, (busy, 1.0), (busy, 1.0)]
    assert ledger.dials == 3
