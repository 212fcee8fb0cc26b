"""Given the facts of a queue, when a user requests a change, then these facts follow or the change is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.callback.events import Leg, Outcome
from domain.callback.retry_policy import RetryPolicy, Rule
from domain.callback_queue.callback_queue import CallbackQueue, create, replay
from domain.callback_queue.events import (
    CallingRules,
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueueFact,
    QueueLimitChanged,
    QueueRulesChosen,
    QueueStatus,
    QueueSwitchedOff,
    QueueSwitchedOn,
)
from domain.errors import AlreadyDeleted, InvalidField
from domain.limits import COMMENT_MAX, CONCURRENT_CALLBACKS_MAX, NAME_MAX
from tests.support.histories import QUEUE_ID, START, queue_created, recorded

BAD_FIELDS = [
    ("name", ""),
    ("name", " \t"),
    ("name", "я" * (NAME_MAX + 1)),
    ("comment", "я" * (COMMENT_MAX + 1)),
    ("concurrent_task_limit", 0),
    ("concurrent_task_limit", -1),
    ("concurrent_task_limit", CONCURRENT_CALLBACKS_MAX + 1),
]


def given(*facts: QueueFact, **fields: Any) -> CallbackQueue:
    """Return the queue after its creation and these facts."""
    queue = replay(recorded([queue_created(**fields), *facts], stream=f"queue/{QUEUE_ID}", organization_id=129))
    assert queue is not None
    return queue


def refused_field(decision: Callable[[], Any]) -> str:
    """Return the field that the refusal of the decision names."""
    with pytest.raises(InvalidField) as raised:
        decision()
    return raised.value.field


def test_a_queue_is_off_and_runs_one_callback_at_a_time_unless_asked_otherwise() -> None:
    assert create("Ночная смена") == [
        QueueCreated(name="Ночная смена", status=QueueStatus.OFF, concurrent_task_limit=1)
    ]
    asked = create("Q", comment="c", status=QueueStatus.ON, concurrent_task_limit=7)
    assert asked == [QueueCreated(name="Q", comment="c", status=QueueStatus.ON, concurrent_task_limit=7)]


def test_a_queue_is_named_by_its_stream_and_dated_by_its_first_fact() -> None:
    queue = given(QueueSwitchedOff(), name="Q", comment="c", concurrent_task_limit=3)
    assert (queue.id, queue.organization_id, queue.version) == (QUEUE_ID, 129, 2)
    assert (queue.name, queue.comment, queue.concurrent_task_limit) == ("Q", "c", 3)
    assert START < queue.created_at < recorded([QueueDeleted()] * 2)[1].recorded_at


def test_a_queue_is_switched_on_and_off() -> None:
    on, off = given(), given(QueueSwitchedOff())
    assert (on.status, off.status) == (QueueStatus.ON, QueueStatus.OFF)
    assert on.change(status=QueueStatus.OFF) == [QueueSwitchedOff()]
    assert off.change(status=QueueStatus.ON) == [QueueSwitchedOn()]
    assert given(QueueSwitchedOff(), QueueSwitchedOn()).status is QueueStatus.ON


def test_a_new_limit_holds_from_then_on() -> None:
    assert given().change(concurrent_task_limit=5) == [QueueLimitChanged(concurrent_task_limit=5)]
    assert given(QueueLimitChanged(concurrent_task_limit=5)).concurrent_task_limit == 5


def test_a_change_of_name_or_comment_tells_both() -> None:
    queue = given(name="Q", comment="old")
    assert queue.change(name="R") == [QueueDescribed(name="R", comment="old")]
    assert queue.change(comment="new") == [QueueDescribed(name="Q", comment="new")]
    described = given(QueueDescribed(name="R", comment="new"))
    assert (described.name, described.comment) == ("R", "new")


def test_a_comment_can_be_emptied() -> None:
    assert given(name="Q", comment="old").change(comment="") == [QueueDescribed(name="Q", comment="")]


def test_fields_left_out_stay_and_what_is_so_already_is_no_change() -> None:
    queue = given(name="Q", comment="c", concurrent_task_limit=3)
    assert queue.change() == []
    assert queue.change(name="Q", comment="c", status=QueueStatus.ON, concurrent_task_limit=3) == []


def test_a_queue_never_runs_by_a_limit_that_it_was_not_given_together_with_its_switch() -> None:
    on, off = given(concurrent_task_limit=1), given(QueueSwitchedOff(), concurrent_task_limit=9)
    limit: dict[str, Any] = {"concurrent_task_limit": 4}
    switching_on = off.change(status=QueueStatus.ON, **limit)
    assert switching_on == [QueueLimitChanged(**limit), QueueSwitchedOn()]
    switching_off = on.change(status=QueueStatus.OFF, **limit)
    assert switching_off == [QueueSwitchedOff(), QueueLimitChanged(**limit)]


def test_all_at_once_is_one_fact_for_each_change() -> None:
    changed = given(name="Q").change(name="R", status=QueueStatus.OFF, concurrent_task_limit=2)
    assert {type(fact) for fact in changed} == {QueueDescribed, QueueLimitChanged, QueueSwitchedOff}


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_what_no_queue_can_have_is_refused_by_its_field(field: str, value: Any) -> None:
    wanted: dict[str, Any] = {"name": "Q", field: value}
    assert refused_field(lambda: create(**wanted)) == field
    assert refused_field(lambda: given().change(**{field: value})) == field


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "я" * NAME_MAX), ("comment", "я" * COMMENT_MAX), ("concurrent_task_limit", CONCURRENT_CALLBACKS_MAX)],
)
def test_the_bounds_themselves_are_taken(field: str, value: Any) -> None:
    wanted: dict[str, Any] = {"name": "Q", field: value}
    assert create(**wanted)
    assert given().change(**{field: value})


def test_a_queue_is_deleted_once_and_changed_no_more() -> None:
    assert given().delete() == [QueueDeleted()]
    gone = given(QueueDeleted())
    assert gone.is_deleted
    for decision in (gone.delete, gone.change, lambda: gone.change(name="")):
        with pytest.raises(AlreadyDeleted, match="The queue is deleted"):
            decision()


def test_a_stream_that_does_not_begin_with_a_creation_is_an_error() -> None:
    with pytest.raises(ValueError, match="begins with QueueDeleted"):
        replay(recorded([QueueDeleted()], stream=f"queue/{QUEUE_ID}"))
    assert replay([]) is None


RULES = CallingRules(retry_policy=RetryPolicy(outcomes={Outcome.BUSY: Rule(pause=9)}), client_leg=Leg.B)


def test_a_queue_begins_with_no_rules_of_its_own_and_takes_them_whole() -> None:
    assert given().rules == CallingRules()
    assert given().choose_rules(RULES) == [QueueRulesChosen(rules=RULES)]
    queue = given(QueueRulesChosen(rules=RULES))
    assert (queue.rules, queue.version) == (RULES, 2)
    assert queue.choose_rules(RULES) == []
    only_leg = CallingRules(client_leg=Leg.B)
    assert queue.choose_rules(only_leg) == [QueueRulesChosen(rules=only_leg)]
    assert queue.choose_rules(CallingRules()) == [QueueRulesChosen(rules=CallingRules())]


def test_an_empty_policy_is_a_choice_and_none_is_the_organisations() -> None:
    contract = CallingRules(retry_policy=RetryPolicy())
    assert given().choose_rules(contract) == [QueueRulesChosen(rules=contract)]


def test_rules_that_cannot_be_are_refused_and_so_are_those_of_a_deleted_queue() -> None:
    impossible = CallingRules(retry_policy=RetryPolicy(jitter_percent=21))
    assert refused_field(lambda: given().choose_rules(impossible)) == "retry_policy.jitter_percent"
    with pytest.raises(AlreadyDeleted):
        given(QueueDeleted()).choose_rules(RULES)
