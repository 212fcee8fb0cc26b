"""Examples of bodies and responses for the OpenAPI document, by type."""

from datetime import UTC, datetime, timedelta

import msgspec

from application.queue_rules import EffectivePolicy, PolicySource
from domain.callback.events import Leg, Outcome
from domain.callback.retry_policy import RetryPolicy
from domain.callback_queue.events import QueueStatus
from domain.task.events import Priority, TaskType
from domain.task.task import Status
from interfaces.api.routes.call_history import CallHistoryResponse, CallPart
from interfaces.api.routes.queue_bodies import (
    CallbackResponse,
    NewCallbackBody,
    NewCallbacksBody,
    NewQueueBody,
    QueueChangeBody,
    QueueResponse,
)
from interfaces.api.routes.queue_rules import QueueRulesBody, QueueRulesResponse
from interfaces.api.routes.task_bodies import (
    OPERATOR_ID,
    AppealBody,
    HistoryItem,
    HistoryResponse,
    NewTaskBody,
    TaskPageResponse,
    TaskResponse,
    TaskStatusBody,
)
from interfaces.api.web.times import RequestTime
from interfaces.config.retry_policies import ChosenOutcomes, ChosenPolicy, ChosenRule, policy_of

QUEUE_ID = 65
CALLBACK_ID = 4_801
CALL_ID = "5f0c1d8e-3b7a-5d52-9b0e-8a1c6f2e4d10"
TASK_ID = "01a20180-8610-70de-aaa2-24ce46b82a84"
_MEMBER = "01a20180-849a-7143-a47e-d83767ae3549"
_CALLED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
_FILED = _CALLED + timedelta(minutes=2)

_TASK = TaskResponse(
    id=TASK_ID,
    organization_id="1",
    assigned_user_id=_MEMBER,
    created_by_user_id=None,
    task_type=TaskType.CONSULTATION,
    status=Status.PENDING,
    priority=Priority.HIGH,
    title="Перезвонить по поводу счёта",
    description="Клиент не понял строку «услуги связи».",
    caller_phone="+77011234567",
    caller_name="Данияр Ахметов",
    call_id="A-4711",
    recording_url="https://calls.example/4711.mp3",
    call_datetime=_CALLED,
    call_transcription=None,
    call_summary=None,
    call_response_summary=None,
    error_message=None,
    created_at=_FILED,
    updated_at=_FILED,
    due_date=None,
    completed_at=None,
    appeal_id=None,
    assigned_user_name="Айгуль Сатпаева",
    version=1,
    attempt=1,
)
_CALLBACK = CallbackResponse(
    id=CALLBACK_ID,
    scheduler_id=QUEUE_ID,
    name="Данияр Ахметов",
    a_number="1001",
    b_number="+77011234567",
    extension_id=None,
    try_count=3,
    try_again_pause="300",
    url_before=None,
    url_before_again=None,
    url_success=None,
    url_after="https://crm.example/callbacks",
    start_time_utc="2026-11-22 10:00:00",
    status="scheduled",
    finish_result=None,
    finish_comment=None,
    cdr=None,
    create_date_utc="2026-11-22 09:32:00",
)
_CALL = CallHistoryResponse(
    call_uuid=CALL_ID,
    client_owner_id=1,
    flow="out",
    init_time_gmt="2026-11-22 10:00:00",
    bridged_time_gmt=None,
    hangup_time_gmt="2026-11-22 10:00:31",
    duration=31,
    bridged_duration=None,
    from_username=_CALLBACK.a_number,
    to_username=_CALLBACK.b_number,
    bridged_username=None,
    extension_id=None,
    result="busy",
    outcome=Outcome.BUSY,
    leg=Leg.B,
    sip="SIP 486 Busy Here",
    cause=17,
    dial_status="BUSY",
    attempt=1,
    scheduler_id=QUEUE_ID,
    task_id=CALLBACK_ID,
    cdr=[
        CallPart(leg=Leg.A, to_username=_CALLBACK.a_number, answered=True, result="answered"),
        CallPart(leg=Leg.B, to_username=_CALLBACK.b_number, answered=False, result="busy"),
    ],
)
_CHOSEN = QueueRulesBody(
    retry_policy=ChosenPolicy(
        outcomes=ChosenOutcomes(busy=ChosenRule(pause=180), invalid_number=ChosenRule(retry=False)),
        jitter_percent=15,
        free_congestions=20,
    ),
    client_leg=Leg.B,
)
_POLICY = policy_of(_CHOSEN.retry_policy) or RetryPolicy()
_ALL = (
    NewQueueBody(name="Перезвонить должникам", status=QueueStatus.ON, concurrent_task_limit=10),
    QueueChangeBody(status=QueueStatus.OFF),
    NewCallbacksBody(
        tasks=[
            NewCallbackBody(
                a_number=_CALLBACK.a_number,
                b_number="8 701 123 45 67",
                name=_CALLBACK.name,
                try_count=_CALLBACK.try_count,
                try_again_pause=_CALLBACK.try_again_pause,
                url_after=_CALLBACK.url_after,
                start_time_utc=3600,
            )
        ]
    ),
    QueueResponse(
        id=QUEUE_ID,
        name="Перезвонить должникам",
        comment=None,
        status=QueueStatus.ON,
        concurrent_task_limit=10,
        create_date_utc="2026-11-22 09:31:00",
    ),
    _CALLBACK,
    _CALL,
    _CHOSEN,
    QueueRulesResponse(
        retry_policy=_POLICY,
        client_leg=_CHOSEN.client_leg,
        effective=EffectivePolicy(retry_policy=_POLICY, source=PolicySource.QUEUE),
    ),
    NewTaskBody(
        operator_id=OPERATOR_ID,
        title=_TASK.title,
        task_type=_TASK.task_type,
        priority=_TASK.priority,
        description=_TASK.description,
        caller_phone="8 701 123 45 67",
        caller_name=_TASK.caller_name,
        call_id=_TASK.call_id,
        recording_url=_TASK.recording_url,
        call_datetime=RequestTime(_CALLED),
    ),
    TaskStatusBody(status=Status.COMPLETED, reason="Called back"),
    AppealBody(appeal_id="2026-118"),
    _TASK,
    TaskPageResponse(items=[_TASK], total=1, page=1, per_page=20, pages=1),
    HistoryResponse(
        items=[
            HistoryItem(
                version=2,
                position=4_712,
                type="task.started.v1",
                recorded_at=_FILED,
                actor=f"member/{_MEMBER}",
                reason=None,
                data={},
            )
        ]
    ),
)

EXAMPLES: dict[type[msgspec.Struct], msgspec.Struct] = {type(example): example for example in _ALL}
