"""Given the facts of a task, when a user requests a change, then these facts follow or the change is refused."""

from collections.abc import Callable, Sequence

import pytest

from domain.errors import IllegalTransition, InvalidField, Refused
from domain.limits import TITLE_MAX
from domain.task.events import (
    AppealLinked,
    Failure,
    TaskCancelled,
    TaskCompleted,
    TaskFact,
    TaskFailed,
    TaskPutBack,
    TaskReprocessed,
    TaskStarted,
)
from domain.task.task import TRANSITIONS, Status, Task, replay
from domain.values import trimmed_title
from tests.support.histories import START, TASK_ID, filed, recorded

FAILED = TaskFailed(personal=Failure(subject=TASK_ID, error_message="the line is dead"))
WAYS: dict[Status, list[TaskFact]] = {
    Status.PENDING: [],
    Status.IN_PROGRESS: [TaskStarted()],
    Status.COMPLETED: [TaskStarted(), TaskCompleted()],
    Status.FAILED: [FAILED],
    Status.CANCELLED: [TaskCancelled()],
}
FACT_OF = {
    Status.PENDING: TaskPutBack(),
    Status.IN_PROGRESS: TaskStarted(),
    Status.COMPLETED: TaskCompleted(),
    Status.FAILED: TaskFailed(personal=Failure(subject=TASK_ID)),
    Status.CANCELLED: TaskCancelled(),
}


def given(*facts: TaskFact) -> Task:
    """Return the task after it was filed and these facts."""
    task = replay(recorded([filed(), *facts]))
    assert task is not None
    return task


def refused(decision: Callable[[], Sequence[TaskFact]], error: type[Refused]) -> Refused:
    """Return the refusal that the decision raises."""
    with pytest.raises(error) as raised:
        decision()
    return raised.value


@pytest.mark.parametrize("wanted", list(Status))
@pytest.mark.parametrize("current", list(Status))
def test_the_table_of_transitions_is_the_law(current: Status, wanted: Status) -> None:
    task = given(*WAYS[current])
    if wanted is current:
        assert task.change_status(wanted) == []
    elif wanted in TRANSITIONS[current]:
        assert task.change_status(wanted) == [FACT_OF[wanted]]
    else:
        refusal = refused(lambda: task.change_status(wanted), IllegalTransition)
        assert current.value in str(refusal)
        assert wanted.value in str(refusal)


def test_the_table_is_the_contracts() -> None:
    ends = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    assert {
        Status.PENDING: {Status.IN_PROGRESS, *ends},
        Status.IN_PROGRESS: {Status.PENDING, *ends},
        Status.COMPLETED: set(),
        Status.FAILED: set(),
        Status.CANCELLED: set(),
    } == TRANSITIONS


def test_a_completed_task_knows_when() -> None:
    task = given(TaskStarted(), TaskCompleted())
    assert (task.status, task.completed_at) == (Status.COMPLETED, task.updated_at)
    assert task.created_at < task.updated_at
    assert task.created_at > START


def test_a_failed_task_keeps_the_reason_until_it_is_reprocessed() -> None:
    failed = given(FAILED)
    assert failed.error_message == "the line is dead"
    assert failed.reprocess() == [TaskReprocessed(attempt=2)]
    again = given(FAILED, TaskReprocessed(attempt=2))
    assert (again.status, again.error_message, again.attempt) == (Status.PENDING, None, 2)


@pytest.mark.parametrize("current", [status for status in Status if status is not Status.FAILED])
def test_only_a_failed_task_is_reprocessed(current: Status) -> None:
    refused(given(*WAYS[current]).reprocess, IllegalTransition)


def test_an_error_message_goes_with_failed_only() -> None:
    refusal = refused(lambda: given().change_status(Status.COMPLETED, error_message="x"), InvalidField)
    assert isinstance(refusal, InvalidField)
    assert refusal.field == "error_message"


@pytest.mark.parametrize("current", list(Status))
def test_an_appeal_is_linked_in_every_status_and_replaced_by_the_next(current: Status) -> None:
    task = given(*WAYS[current], AppealLinked(appeal_id="A-1"))
    assert task.status is current
    assert task.link_appeal("A-2") == [AppealLinked(appeal_id="A-2")]
    assert task.link_appeal("A-1") == []


def test_a_stream_that_does_not_begin_with_a_filing_is_an_error() -> None:
    with pytest.raises(ValueError, match="begins with TaskStarted"):
        replay(recorded([TaskStarted()]))
    assert replay([]) is None


def test_a_title_is_trimmed_and_bounded() -> None:
    assert trimmed_title("  Позвонить \n") == "Позвонить"
    assert trimmed_title(" " + "я" * TITLE_MAX) == "я" * TITLE_MAX
    for bad in ("", " \t ", "я" * (TITLE_MAX + 1)):
        with pytest.raises(InvalidField):
            trimmed_title(bad)
