"""Recorded facts without a log, and hypothesis strategies for legal histories."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from domain.errors import Refused
from domain.model import Fact, Recorded
from domain.task.events import CallDetails, Priority, TaskFact, TaskFiled, TaskType
from domain.task.task import Status, Task, evolve

LOG_ID = UUID("0197b1c2-f000-7a3e-9c1d-5e0f2a4b6c8d")
TASK_ID = "0197b1c2-f000-7000-8000-000000000001"
START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def filed(title: str = "Call back about the order", **fields: Any) -> TaskFiled:
    """A task as an operator filed it."""
    personal = {name: fields.pop(name) for name in CallDetails.__struct_fields__ if name in fields}
    defaults: dict[str, Any] = {"operator_number": 1, "task_type": TaskType.OTHER, "priority": Priority.NORMAL}
    return TaskFiled(**(defaults | fields), personal=CallDetails(subject=TASK_ID, title=title, **personal))


def recorded(facts: Sequence[Fact], stream: str = f"task/{TASK_ID}", organization_id: int = 1) -> list[Recorded[Any]]:
    """The facts as a log would have recorded them, a minute apart."""
    return [
        Recorded(
            stream=stream,
            version=version,
            position=version,
            log_id=LOG_ID,
            recorded_at=START + timedelta(minutes=version),
            fact=fact,
            organization_id=organization_id,
            actor="member/m1",
        )
        for version, fact in enumerate(facts, 1)
    ]


_texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
_maybe = st.none() | _texts
_times = st.none() | st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
filed_facts = st.builds(
    TaskFiled,
    operator_number=st.integers(1, 99),
    task_type=st.sampled_from(TaskType),
    priority=st.sampled_from(Priority),
    assigned_user_id=st.none() | st.sampled_from(["m1", "m2"]),
    created_by_user_id=_maybe,
    call_id=_maybe,
    call_datetime=_times,
    due_date=_times,
    personal=st.builds(
        CallDetails,
        subject=st.just(TASK_ID),
        title=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=60),
        description=_maybe,
        caller_phone=st.none() | st.sampled_from(["+77010001001", "+79161234567"]),
        caller_name=_maybe,
        recording_url=_maybe,
        call_transcription=_maybe,
        call_summary=_maybe,
        call_response_summary=_maybe,
    ),
)


def _decide(draw: st.DrawFn, task: Task) -> list[TaskFact]:
    command = draw(st.sampled_from(["status", "appeal", "reprocess"]))
    try:
        if command == "appeal":
            return task.link_appeal(draw(st.sampled_from(["A-1", "A-2", "Ж-3"])))
        if command == "reprocess":
            return task.reprocess()
        wanted = draw(st.sampled_from(Status))
        return task.change_status(wanted, error_message=draw(_maybe) if wanted is Status.FAILED else None)
    except Refused:
        return []


@st.composite
def task_histories(draw: st.DrawFn, *, steps: int = 12) -> list[TaskFact]:
    """A legal sequence of facts of one task: what some client could have done to it."""
    facts: list[TaskFact] = [draw(filed_facts)]
    task = evolve(None, recorded(facts)[0])
    for _ in range(draw(st.integers(0, steps))):
        decided = _decide(draw, task)
        facts += decided
        for event in recorded(facts)[task.version :]:
            task = evolve(task, event)
    return facts
