"""Recorded facts without a log, and hypothesis strategies for legal histories."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from hypothesis import strategies as st

from domain.callback import callback as callbacks
from domain.callback.events import (
    CallbackDetails,
    CallbackFact,
    CallbackScheduled,
    CallEnd,
    Leg,
    Outcome,
)
from domain.callback.retry_policy import RetryPolicy, Rule
from domain.callback_queue import callback_queue as queues
from domain.callback_queue.events import CallingRules, QueueCreated, QueueFact, QueueStatus
from domain.errors import Refused
from domain.limits import FREE_CONGESTIONS_MAX, JITTER_MAX_PERCENT, PAUSE_MAX_S
from domain.model import Fact, Recorded
from domain.streams import callback_stream, queue_stream, task_stream
from domain.task.events import CallDetails, Priority, TaskFact, TaskFiled, TaskType
from domain.task.task import Status, Task, evolve

LOG_ID = UUID("0197b1c2-f000-7a3e-9c1d-5e0f2a4b6c8d")
TASK_ID = "0197b1c2-f000-7000-8000-000000000001"
QUEUE_ID = 65
CALLBACK_ID = 129
START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SUCCESS = CallEnd(outcome=Outcome.SUCCESS, leg=Leg.B, sip="SIP 200 OK", cause=16, dial_status="ANSWER", seconds=61.25)
BUSY = CallEnd(outcome=Outcome.BUSY, leg=Leg.A, sip="SIP 486 Busy Here", cause=17)
LOST = CallEnd(outcome=Outcome.LOST)


def filed(title: str = "Call back about the order", **fields: Any) -> TaskFiled:
    """Return the first fact of a task that an operator filed."""
    personal = {name: fields.pop(name) for name in CallDetails.__struct_fields__ if name in fields}
    defaults: dict[str, Any] = {"operator_number": 1, "task_type": TaskType.OTHER, "priority": Priority.NORMAL}
    return TaskFiled(**(defaults | fields), personal=CallDetails(subject=TASK_ID, title=title, **personal))


def queue_created(name: str = "Callbacks", **fields: Any) -> QueueCreated:
    """Return the first fact of a queue that is on, for one callback at a time, unless the fields differ."""
    defaults: dict[str, Any] = {"status": QueueStatus.ON, "concurrent_task_limit": 1}
    return QueueCreated(name=name, **(defaults | fields))


def scheduled(a_number: str = "1001", b_number: str = "+77010001001", **fields: Any) -> CallbackScheduled:
    """Return the first fact of a callback, due at START, of two tries a minute apart, unless the fields differ."""
    details = CallbackDetails(
        subject=callback_stream(CALLBACK_ID), a_number=a_number, b_number=b_number, name=fields.pop("name", None)
    )
    defaults: dict[str, Any] = {"queue_id": QUEUE_ID, "try_count": 2, "try_again_pause": 60, "start_time": START}
    return CallbackScheduled(**(defaults | fields), personal=details)


def callback_after(*facts: CallbackFact, **fields: Any) -> callbacks.Callback:
    """Return the callback after its scheduling and these facts; the fields are those of ``scheduled``."""
    callback = callbacks.replay(recorded([scheduled(**fields), *facts], stream=callback_stream(CALLBACK_ID)))
    assert callback is not None
    return callback


def call_id_of(attempt: int) -> str:
    """Return a call id, a different one for each attempt."""
    return str(uuid5(LOG_ID, f"callback/{CALLBACK_ID}#{attempt}"))


def recorded(
    facts: Sequence[Fact], stream: str = task_stream(TASK_ID), organization_id: int = 1
) -> list[Recorded[Any]]:
    """Return the facts as a log would have recorded them, a minute apart."""
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
    """Draw a legal sequence of facts of one task, as clients could have caused it."""
    facts: list[TaskFact] = [draw(filed_facts)]
    task = evolve(None, recorded(facts)[0])
    for _ in range(draw(st.integers(0, steps))):
        decided = _decide(draw, task)
        facts += decided
        for event in recorded(facts)[task.version :]:
            task = evolve(task, event)
    return facts


_urls = st.none() | st.sampled_from(["https://crm.example/hook", "http://crm.example:8080/hook?id=1"])
scheduled_facts = st.builds(
    scheduled,
    a_number=st.sampled_from(["1001", "204", "+77010001001"]),
    b_number=st.sampled_from(["+77010002002", "+79161234567"]),
    name=_maybe,
    try_count=st.integers(1, 4),
    try_again_pause=st.integers(0, 600),
    start_time=st.integers(0, 3600).map(lambda seconds: START + timedelta(seconds=seconds)),
    extension_id=st.none() | st.integers(1, 99),
    url_before=_urls,
    url_before_again=_urls,
    url_success=_urls,
    url_after=_urls,
    task_id=st.none() | st.just(TASK_ID),
)
call_ends = st.builds(
    CallEnd,
    outcome=st.sampled_from(Outcome),
    leg=st.none() | st.sampled_from(Leg),
    sip=st.none() | st.sampled_from(["SIP 486 Busy Here", "SIP 180 Ringing", "SIP 404 Not Found"]),
    cause=st.none() | st.integers(0, 127),
    dial_status=st.none() | st.sampled_from(["ANSWER", "BUSY", "NOANSWER", "CHANUNAVAIL"]),
    seconds=st.none() | st.floats(0, 7200),
)


CONTRACT = RetryPolicy()
"""The default policy."""
RULED = [outcome for outcome in Outcome if outcome not in {Outcome.SUCCESS, Outcome.LOST, Outcome.NOT_DIALLED}]
"""Outcomes for which a policy can have a rule."""
retry_policies = st.builds(
    RetryPolicy,
    outcomes=st.dictionaries(
        st.sampled_from(RULED),
        st.builds(Rule, retry=st.booleans(), pause=st.none() | st.integers(0, 600) | st.just(PAUSE_MAX_S)),
    ),
    jitter_percent=st.integers(0, JITTER_MAX_PERCENT),
    free_congestions=st.integers(0, 3) | st.just(FREE_CONGESTIONS_MAX),
)
calling_rules = st.builds(
    CallingRules, retry_policy=st.none() | retry_policies, client_leg=st.none() | st.sampled_from(Leg)
)


def _decide_callback(draw: st.DrawFn, callback: callbacks.Callback, policy: RetryPolicy) -> list[CallbackFact]:
    attempt = callback.attempt + draw(st.sampled_from([0, 0, 0, -1, 1]))
    command = draw(st.sampled_from(["start", "end", "retry"] * 4 + ["join", "join", "delete"]))
    try:
        match command:
            case "start":
                return callback.start_attempt(call_id_of(callback.attempt + 1))
            case "join":
                return callback.call_joined(attempt)
            case "end":
                return callback.call_ended(attempt, draw(call_ends))
            case "retry":
                return callback.decide_retry(policy)
            case _:
                return callback.delete()
    except Refused:
        return []


@st.composite
def callback_histories(draw: st.DrawFn, *, steps: int = 40, policy: RetryPolicy = CONTRACT) -> list[CallbackFact]:
    """Draw a legal sequence of facts of one callback in a queue of that policy, caused by clients and the switch."""
    facts: list[CallbackFact] = [draw(scheduled_facts)]
    stream = callback_stream(CALLBACK_ID)
    callback = callbacks.evolve(None, recorded(facts, stream)[0])
    for _ in range(draw(st.integers(0, steps))):
        facts += _decide_callback(draw, callback, policy)
        for event in recorded(facts, stream)[callback.version :]:
            callback = callbacks.evolve(callback, event)
    return facts


def _decide_queue(draw: st.DrawFn, queue: queues.CallbackQueue) -> list[QueueFact]:
    try:
        match draw(st.sampled_from(["delete", "rules", "change", "change", "change"])):
            case "delete":
                return queue.delete()
            case "rules":
                return queue.choose_rules(draw(calling_rules))
            case _:
                pass
        return queue.change(
            name=draw(st.none() | st.sampled_from(["Callbacks", "Ночная смена"])),
            comment=draw(_maybe),
            status=draw(st.none() | st.sampled_from(QueueStatus)),
            concurrent_task_limit=draw(st.none() | st.integers(1, 5)),
        )
    except Refused:
        return []


@st.composite
def queue_histories(draw: st.DrawFn, *, steps: int = 8) -> list[QueueFact]:
    """Draw a legal sequence of facts of one queue."""
    facts = queues.create(
        draw(st.sampled_from(["Callbacks", "Ночная смена"])),
        comment=draw(_maybe),
        status=draw(st.sampled_from(QueueStatus)),
        concurrent_task_limit=draw(st.integers(1, 5)),
    )
    stream = queue_stream(QUEUE_ID)
    queue = queues.evolve(None, recorded(facts, stream)[0])
    for _ in range(draw(st.integers(0, steps))):
        facts += _decide_queue(draw, queue)
        for event in recorded(facts, stream)[queue.version :]:
            queue = queues.evolve(queue, event)
    return facts
