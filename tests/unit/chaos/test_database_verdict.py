"""The verdict of `./run chaos --database` finds each violation."""

from typing import Any

import msgspec
import pytest

from tests.chaos.calls_verdict import CallsVerdict
from tests.chaos.database_verdict import Answer, Ordeal, faults_of, ordeal_of

CALLS = CallsVerdict(
    callbacks=9,
    attempts=10,
    dialled=9,
    lost=0,
    not_dialled=1,
    most_at_once=3,
    most_dials=1,
    webhooks=20,
    repeated=0,
    leaders=2,
    events=70,
    faults=[],
)
FILED = ["1", "2"]
GOOD = (
    Answer("POST /api/tasks", 503, 0.0, 4.5),
    Answer("GET /api/tasks", 200, 5.0, 5.1),
    Answer("GET /health/ready", 503, 0.0, 0.8),
)


def ordeal(*answers: Answer, recovered_s: float | None = 1.0, dialled_s: float | None = 2.0) -> Ordeal:
    return ordeal_of("kill -9", [*GOOD, *answers], recovered_s, dialled_s)


def faults(found: Ordeal | None = None, *, kept: tuple[str, ...] = ("1", "2"), **calls: Any) -> list[str]:
    return [*faults_of([found or ordeal()], msgspec.structs.replace(CALLS, **calls), FILED, set(kept))]


def test_a_run_in_which_every_promise_was_kept_has_no_faults() -> None:
    assert faults() == []
    assert ordeal().statuses == {"POST 503": 1, "GET 200": 1}
    assert (ordeal().longest_s, ordeal().health_s) == (4.5, 0.8)


@pytest.mark.parametrize(
    "found",
    [
        ordeal(Answer("POST /api/tasks", 503, 0.0, 6.0)),
        ordeal(Answer("GET /health/live", 200, 0.0, 2.0)),
        ordeal(Answer("GET /api/tasks", 500, 0.0, 0.1)),
        ordeal(Answer("GET /api/tasks", 0, 0.0, 0.1)),
        ordeal(recovered_s=None),
        ordeal(recovered_s=30.0),
        ordeal(dialled_s=None),
        ordeal(dialled_s=30.0),
    ],
    ids=[
        "late",
        "late about health",
        "an error",
        "no answer",
        "no recovery",
        "a late recovery",
        "no call",
        "a late call",
    ],
)
def test_a_fault_that_clients_notice_longer_than_promised_is_found(found: Ordeal) -> None:
    assert len(faults(found)) == 1


def test_an_acknowledged_task_that_the_log_lacks_is_found() -> None:
    assert faults(kept=("2",)) == ["1 acknowledged tasks are lost, such as 1"]


def test_a_run_without_any_acknowledged_task_proves_nothing() -> None:
    assert [*faults_of([ordeal()], CALLS, [], set())] == ["no task was filed"]


@pytest.mark.parametrize("calls", [{"lost": 1}, {"faults": ["dialled again: 1 calls"]}])
def test_a_try_without_a_ring_and_a_fault_of_the_calls_are_found(calls: dict[str, Any]) -> None:
    assert len(faults(**calls)) == 1
