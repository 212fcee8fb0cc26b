"""The policy carry_out_callback_tasks: a task of type callback and its callback follow each other (`docs/contracts/tasks.md`, Callbacks)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.callback.events import AttemptSucceeded, CallbackCancelled, CallbackFinished, CallEnded, FinishResult
from domain.callback_queue.events import QueueDeleted
from domain.model import Fact
from domain.task.events import Failure, TaskCancelled, TaskCompleted, TaskFailed, TaskReprocessed, TaskStarted, TaskType
from infrastructure.event_log import metrics
from tests.support.histories import SUCCESS, filed
from tests.support.policies import (
    CALLER,
    OPERATOR,
    callback_of,
    failed_attempt,
    file_callback_task,
    go_on,
    head,
    history,
    open_queue,
    organization,
    react,
    schedule,
    tags,
)
from tests.support.views import Views, new_task, open_views

pytestmark = pytest.mark.anyio

NAME = "carry_out_callback_tasks"
ATTEMPT = failed_attempt()[0]
SPENT = CallbackFinished(result=FinishResult.FAILED, comment="BUSY a busy (SIP 486 Busy Here)")
SUCCEEDED = (AttemptSucceeded(attempt=1), CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b"))


def failed(message: str | None = None) -> TaskFailed:
    return TaskFailed(personal=Failure(subject="", error_message=message))


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


@pytest.fixture
async def queue_id(views: Views) -> int:
    """Create the queue that the organisation's settings name."""
    number = await open_queue(views)
    await organization(views, callback_queue=number, callback_tries=5, callback_pause=120)
    return number


async def carried_out(views: Views, **fields: Any) -> tuple[str, str]:
    """File a task, and return its stream and that of the callback that carries it out."""
    task_id = await file_callback_task(views, **fields)
    await react(views, NAME)
    callback_id = await callback_of(views, task_id)
    assert callback_id is not None
    return f"task/{task_id}", f"callback/{callback_id}"


async def record_and_react(views: Views, stream: str, *facts: Fact, **more: Any) -> None:
    """Record facts, and run the policy."""
    await go_on(views, stream, *facts, **more)
    await react(views, NAME)


async def error_of(views: Views, stream: str) -> str | None:
    """Return the error message of a failed task."""
    last = (await history(views, stream))[-1].fact
    assert isinstance(last, TaskFailed)
    return last.personal.error_message


async def test_a_filed_task_becomes_a_callback_in_the_queue_of_its_organisation(views: Views, queue_id: int) -> None:
    task, callback = await carried_out(views, title="Ж" * 300)
    filing, (scheduling,) = (await history(views, task))[0], await history(views, callback)
    fact, person = scheduling.fact, scheduling.fact.personal
    assert (fact.queue_id, fact.try_count, fact.try_again_pause) == (queue_id, 5, 120)
    assert (fact.task_id, fact.start_time) == (task.removeprefix("task/"), filing.recorded_at)
    assert (person.a_number, person.b_number, person.name) == (OPERATOR, CALLER, "Ж" * 200)
    assert person.subject == filing.fact.personal.subject
    assert (scheduling.actor, scheduling.organization_id) == (f"policy/{NAME}", 1)
    assert (scheduling.causation, scheduling.correlation) == (str(filing.position), "request-1")


async def test_the_task_follows_its_callback_to_completion(views: Views, queue_id: int) -> None:
    task, callback = await carried_out(views)
    await record_and_react(views, callback, ATTEMPT)
    assert await tags(views, task) == ["filed", "started"]
    await record_and_react(views, callback, *SUCCEEDED)
    await record_and_react(views, callback, CallEnded(attempt=1, end=SUCCESS))
    assert await tags(views, task) == ["filed", "started", "completed"]
    assert await callback_of(views, task.removeprefix("task/")) is None
    assert await tags(views, callback) == [
        "scheduled",
        "attempt_started",
        "attempt_succeeded",
        "finished",
        "call_ended",
    ]


async def test_what_happens_to_a_callback_at_once_happens_to_its_task_in_order(views: Views, queue_id: int) -> None:
    task, callback = await carried_out(views)
    await record_and_react(views, callback, ATTEMPT, *SUCCEEDED)
    assert await tags(views, task) == ["filed", "started", "completed"]


async def test_a_task_whose_tries_are_spent_fails_with_the_last_reason(views: Views, queue_id: int) -> None:
    task, callback = await carried_out(views)
    await record_and_react(views, callback, *failed_attempt(), SPENT)
    assert await error_of(views, task) == SPENT.comment


async def test_reprocessing_calls_anew_and_the_old_callback_means_nothing_more(views: Views, queue_id: int) -> None:
    task, first = await carried_out(views)
    await record_and_react(views, first, *failed_attempt(), SPENT)
    await record_and_react(views, task, TaskReprocessed(attempt=2), causation="request-2", correlation="request-2")
    second = f"callback/{await callback_of(views, task.removeprefix('task/'))}"
    assert second != first
    (scheduling,) = await history(views, second)
    assert (scheduling.fact.personal.b_number, scheduling.correlation) == (CALLER, "request-2")
    await record_and_react(views, first, CallbackCancelled())
    assert (await tags(views, task))[-1] == "reprocessed"
    await record_and_react(views, second, ATTEMPT, *SUCCEEDED)
    assert (await tags(views, task))[-1] == "completed"


async def test_a_task_that_a_member_failed_and_had_reprocessed_has_one_callback(views: Views, queue_id: int) -> None:
    task, first = await carried_out(views)
    await record_and_react(views, task, failed("wrong number"), TaskReprocessed(attempt=2))
    second = f"callback/{await callback_of(views, task.removeprefix('task/'))}"
    assert (await tags(views, first), await tags(views, second)) == (["scheduled", "cancelled"], ["scheduled"])
    assert (await tags(views, task))[-1] == "reprocessed"


@pytest.mark.parametrize("end", [TaskCancelled(), TaskCompleted(), failed("no need")])
@pytest.mark.parametrize("so_far", [(), (ATTEMPT,), tuple(failed_attempt())])
async def test_a_task_that_a_member_ends_takes_its_callback_along(
    views: Views,
    queue_id: int,
    end: Fact,
    so_far: tuple[Any, ...],
) -> None:
    task, callback = await carried_out(views)
    if so_far:
        await record_and_react(views, callback, *so_far)
    before = await tags(views, task)
    await record_and_react(views, task, end)
    assert (await tags(views, callback))[-1] == "cancelled"
    assert len(await tags(views, task)) == len(before) + 1
    last = (await history(views, callback))[-1]
    assert (last.actor, last.causation) == (f"policy/{NAME}", str((await history(views, task))[-1].position))
    assert await callback_of(views, task.removeprefix("task/")) is None


async def test_a_task_whose_callback_is_deleted_fails(views: Views, queue_id: int) -> None:
    task, callback = await carried_out(views)
    await record_and_react(views, callback, CallbackCancelled(), actor="token/t1")
    assert await error_of(views, task) == "CANCEL the callback was deleted"


async def test_a_member_who_was_faster_has_the_last_word(views: Views, queue_id: int) -> None:
    task, callback = await carried_out(views)
    before = metrics.REFUSED.labels(f"policy/{NAME}", "illegal_transition")._value.get()
    await go_on(views, callback, ATTEMPT, *SUCCEEDED)
    await record_and_react(views, task, TaskCancelled())
    assert await tags(views, task) == ["filed", "cancelled"]
    assert metrics.REFUSED.labels(f"policy/{NAME}", "illegal_transition")._value.get() - before == 1
    assert await views.rows("SELECT FROM perezvon_1.parked_streams") == []


@pytest.mark.parametrize(
    "fields", [{"task_type": TaskType.ORDER}, {"caller_phone": None}, {"task_type": TaskType.OTHER}]
)
async def test_other_tasks_are_nobodys_callback(views: Views, queue_id: int, fields: dict[str, Any]) -> None:
    task_id = await file_callback_task(views, **fields)
    await go_on(views, f"task/{task_id}", TaskStarted(), failed(), TaskReprocessed(attempt=2), TaskCancelled())
    before = await head(views)
    await react(views, NAME)
    assert await head(views) == before


async def test_where_no_queue_is_named_tasks_wait_for_a_person(views: Views) -> None:
    await organization(views)
    task_id = await file_callback_task(views)
    await react(views, NAME)
    assert await tags(views, f"task/{task_id}") == ["filed"]


@pytest.mark.parametrize("end", [TaskCancelled(), TaskCompleted()])
async def test_a_task_that_is_over_before_the_policy_sees_it_is_not_dialled(
    views: Views,
    queue_id: int,
    end: Fact,
) -> None:
    task_id = await file_callback_task(views)
    await go_on(views, f"task/{task_id}", end)
    await react(views, NAME)
    assert await callback_of(views, task_id) is None
    assert await head(views) == 3


async def test_without_a_queue_the_task_fails_and_says_so(views: Views) -> None:
    await organization(views, callback_queue=6401)
    task_id = await file_callback_task(views)
    await react(views, NAME)
    assert await error_of(views, f"task/{task_id}") == "No callback: there is no queue 6401"


async def test_a_queue_of_another_organisation_is_none(views: Views) -> None:
    number = await open_queue(views, organization_id=2)
    await organization(views, callback_queue=number)
    task_id = await file_callback_task(views)
    await react(views, NAME)
    assert await error_of(views, f"task/{task_id}") == f"No callback: there is no queue {number}"


async def test_a_deleted_queue_is_none(views: Views, queue_id: int) -> None:
    await go_on(views, f"queue/{queue_id}", QueueDeleted())
    task_id = await file_callback_task(views)
    await react(views, NAME)
    assert await error_of(views, f"task/{task_id}") == f"No callback: there is no queue {queue_id}"


@pytest.mark.parametrize("is_removed", [False, True])
async def test_an_operator_without_a_number_cannot_be_rung(views: Views, is_removed: bool) -> None:  # noqa: FBT001 - a parameter
    await organization(views, callback_queue=await open_queue(views), phone=None)
    if is_removed:
        await views.do("DELETE FROM perezvon_1.operators")
    task_id = await file_callback_task(views)
    await react(views, NAME)
    assert await error_of(views, f"task/{task_id}") == "No callback: operator 1 has no number"


async def test_callbacks_that_carry_out_no_task_concern_no_task(views: Views, queue_id: int) -> None:
    await schedule(views, queue_id, ATTEMPT, *SUCCEEDED)
    await views.record(f"task/{new_task()}", filed())
    before = await head(views)
    await react(views, NAME)
    assert await head(views) == before
