"""The sample day that ships: realistic, legal, with unassigned telephone numbers."""

import re
from typing import Any

import pytest

from application.phones import e164
from domain.task.events import Priority, TaskType
from domain.task.task import TRANSITIONS, Status
from domain.values import trimmed_title
from interfaces.demo.day import Call, sample_day

DAY = sample_day()
_UNASSIGNED = re.compile(r"\+7[79]\d\d000\d{4}|\+447700900\d{3}|\+120255501\d\d")


def test_it_is_a_day_of_some_hundred_calls_in_two_languages() -> None:
    assert len(DAY) >= 200
    assert [call.at for call in DAY] == sorted(call.at for call in DAY)
    russian = sum(bool(re.search("[а-я]", call.task["title"])) for call in DAY)
    assert len(DAY) // 2 < russian < len(DAY) - 40
    assert len({call.task["title"] for call in DAY}) == len(DAY)


def test_it_knows_all_types_priorities_and_lines() -> None:
    assert {call.task["task_type"] for call in DAY} == set(TaskType)
    assert {call.task["priority"] for call in DAY} == set(Priority)
    assert {call.operator for call in DAY} == {1, 2, 3, 4, 5}
    assert sum("call_transcription" in call.task for call in DAY) > 50


def test_its_titles_can_be_filed_and_its_numbers_are_nobodys() -> None:
    for call in DAY:
        assert trimmed_title(call.task["title"]) == call.task["title"]
        assert _UNASSIGNED.fullmatch(e164(call.task["caller_phone"], "KZ", "caller_phone"))
    forms = {re.sub(r"\d", "0", call.task["caller_phone"]) for call in DAY}
    assert {"+00000000000", "0 000 000 00 00", "0000000000"} <= forms


@pytest.mark.parametrize("call", [call for call in DAY if call.then], ids=lambda call: call.task["call_id"])
def test_what_becomes_of_a_call_is_legal(call: Call) -> None:
    status = Status.PENDING
    for step in call.then:
        status = _after(status, step)


def _after(status: Status, step: dict[str, Any]) -> Status:
    match step:
        case {"appeal": str()}:
            return status
        case {"reprocess": True}:
            assert status is Status.FAILED
            return Status.PENDING
        case _:
            assert Status(step["status"]) in TRANSITIONS[status]
            assert ("error_message" in step) == (step["status"] == "failed")
            return Status(step["status"])
