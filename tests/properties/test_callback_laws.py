"""Properties of callbacks and queues, for any legal history."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.callback.callback import Callback, Status, evolve, replay
from domain.callback.events import AttemptStarted, CallbackFact
from domain.callback.retry_policy import RetryPolicy
from domain.callback_queue import callback_queue as queues
from domain.callback_queue.events import QueueFact
from domain.model import Recorded, tag_of
from infrastructure.event_log.codec import decode, encode
from tests.support.callback_laws import check_history
from tests.support.histories import (
    CALLBACK_ID,
    QUEUE_ID,
    callback_histories,
    queue_histories,
    recorded,
    retry_policies,
)

with_policies = retry_policies.flatmap(lambda policy: st.tuples(st.just(policy), callback_histories(policy=policy)))


def record(facts: list[CallbackFact]) -> list[Recorded[CallbackFact]]:
    return recorded(facts, stream=f"callback/{CALLBACK_ID}")


@given(callback_histories())
def test_replaying_a_history_gives_the_callback_that_it_made(facts: list[CallbackFact]) -> None:
    states: list[Callback] = []
    for event in record(facts):
        states.append(evolve(states[-1] if states else None, event))
    assert replay(record(facts)) == states[-1]
    assert [state.version for state in states] == [*range(1, len(facts) + 1)]
    assert states[-1].attempt == sum(isinstance(fact, AttemptStarted) for fact in facts)


@given(callback_histories())
def test_a_callbacks_history_survives_encoding(facts: list[CallbackFact]) -> None:
    assert [decode(tag_of(fact), encode(fact)) for fact in facts] == facts


@given(callback_histories())
def test_a_prefix_of_a_history_is_the_callback_as_of_then(facts: list[CallbackFact]) -> None:
    events = record(facts)
    after = replay(events)
    assert after is not None
    for end in range(1, len(events)):
        before = replay(events[:end])
        assert before is not None
        assert (before.version, before.updated_at) == (end, events[end - 1].recorded_at)
        assert (before.created_at, before.scheduled) == (after.created_at, after.scheduled)
        assert before.attempt <= after.attempt
        assert before.is_deleted <= after.is_deleted
        assert before.status is after.status or before.status not in {Status.FINISHED, Status.CANCELLED}


@given(callback_histories())
def test_no_history_breaks_the_contract(facts: list[CallbackFact]) -> None:
    check_history(record(facts))


@given(with_policies)
def test_no_history_breaks_the_policy_that_was_in_force(case: tuple[RetryPolicy, list[CallbackFact]]) -> None:
    policy, facts = case
    check_history(record(facts), [policy])
    assert [decode(tag_of(fact), encode(fact)) for fact in facts] == facts


@given(with_policies, retry_policies)
def test_whoever_decides_again_decides_the_same(
    case: tuple[RetryPolicy, list[CallbackFact]], other: RetryPolicy
) -> None:
    """Check that the decision depends only on the recorded events, and that a later policy does not change it."""
    policy, facts = case
    events = record(facts)
    for end in range(1, len(events) + 1):
        callback, again = replay(events[:end]), replay(events[:end])
        assert callback is not None
        assert again is not None
        decided = callback.decide_retry(policy)
        assert again.decide_retry(policy) == decided
        for event in record([*facts[:end], *decided])[end:]:
            callback = evolve(callback, event)
        assert callback.decide_retry(other) == []


@given(queue_histories())
def test_replaying_a_history_gives_the_queue_that_it_made(facts: list[QueueFact]) -> None:
    events = recorded(facts, stream=f"queue/{QUEUE_ID}")
    queue = None
    for event in events:
        before, queue = queue, queues.evolve(queue, event)
        assert queue.version == event.version
        assert before is None or replace(before, version=queue.version) != queue, "a fact that changes nothing"
    assert queue is not None
    assert queues.replay(events) == queue
    assert queue.is_deleted is (tag_of(facts[-1]) == "queue.deleted.v1")
    assert [decode(tag_of(fact), encode(fact)) for fact in facts] == facts
