"""Properties of tasks, for any legal history."""

from hypothesis import given

from domain.model import tag_of
from domain.task.events import TaskFact, TaskReprocessed
from domain.task.task import Status, evolve, replay
from infrastructure.event_log.codec import decode, encode
from tests.support.histories import recorded, task_histories


@given(task_histories())
def test_replaying_a_history_gives_the_state_that_it_made(facts: list[TaskFact]) -> None:
    state = None
    for event in recorded(facts):
        state = evolve(state, event)
    assert replay(recorded(facts)) == state
    assert state is not None
    assert state.version == len(facts)
    assert (state.completed_at is not None) == (state.status is Status.COMPLETED)
    assert state.attempt == 1 + sum(isinstance(fact, TaskReprocessed) for fact in facts)


@given(task_histories())
def test_a_history_survives_encoding(facts: list[TaskFact]) -> None:
    assert [decode(tag_of(fact), encode(fact)) for fact in facts] == facts


@given(task_histories())
def test_a_prefix_of_a_history_is_the_task_as_of_then(facts: list[TaskFact]) -> None:
    events = recorded(facts)
    for end in range(1, len(events)):
        before, after = replay(events[:end]), replay(events)
        assert before is not None
        assert after is not None
        assert before.version == end
        assert (before.created_at, before.details) == (after.created_at, after.details)
