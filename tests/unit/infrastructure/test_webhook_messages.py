"""Messages to the four URLs of a callback."""

from datetime import datetime
from typing import Any

import msgspec
import pytest

from application.policies.notify_webhooks import Message, message_of
from application.webhook_targets import host_of
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackDetails,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnd,
    CallEnded,
    FinishResult,
    Outcome,
)
from domain.model import tag_of
from infrastructure.webhooks.outbox import lane_of
from tests.support.histories import START, recorded

CALL_ID = "11111111-2222-3333-4444-555555555555"
END = CallEnd(outcome=Outcome.BUSY)
SCHEDULED = CallbackScheduled(
    queue_id=129,
    try_count=3,
    try_again_pause=60,
    start_time=START,
    personal=CallbackDetails(subject="callback/65", a_number="1001", b_number="+77010001001", name="Айгуль"),
    url_before="https://a.example/before",
    url_before_again="https://a.example/again",
    url_success="https://b.example:8443/success",
    url_after="http://c.example/after",
    task_id="t1",
)
STARTED = AttemptStarted(attempt=1, call_id=CALL_ID)
AGAIN = AttemptStarted(attempt=2, call_id=CALL_ID)
JOINED = AttemptSucceeded(attempt=2)
DONE = CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b")


def message_about(fact: CallbackFact, scheduled: CallbackScheduled = SCHEDULED) -> Message | None:
    (_, event) = recorded([scheduled, fact], "callback/65")
    return message_of(event, scheduled)


def body_of(fact: CallbackFact) -> dict[str, Any]:
    message = message_about(fact)
    assert message
    return msgspec.json.decode(message.body)


@pytest.mark.parametrize(
    ("fact", "kind", "url"),
    [
        (STARTED, "before", SCHEDULED.url_before),
        (AGAIN, "before_again", SCHEDULED.url_before_again),
        (JOINED, "success", SCHEDULED.url_success),
        (DONE, "after", SCHEDULED.url_after),
        (CallbackCancelled(), "after", SCHEDULED.url_after),
    ],
)
def test_each_url_receives_its_events(fact: CallbackFact, kind: str, url: str) -> None:
    message = message_about(fact)
    assert message
    assert (message.kind, message.url, message.callback_id, message.organization_id) == (kind, url, 65, 1)
    assert (message.sequence, message.position) == (2, 2)


@pytest.mark.parametrize(
    "fact",
    [
        AttemptFailed(attempt=1, end=END),
        CallEnded(attempt=1, end=END),
        CallbackDelayed(due_at=START),
        CallbackRemoved(),
        SCHEDULED,
    ],
)
def test_other_events_cause_no_message(fact: CallbackFact) -> None:
    assert message_about(fact) is None


@pytest.mark.parametrize("fact", [STARTED, AGAIN, JOINED, DONE, CallbackCancelled()])
def test_without_its_url_an_event_causes_no_message(fact: CallbackFact) -> None:
    silent = msgspec.structs.replace(
        SCHEDULED, url_before=None, url_before_again=None, url_success=None, url_after=None
    )
    assert message_about(fact, silent) is None


@pytest.mark.parametrize(
    ("fact", "more"),
    [
        (AGAIN, {"status": "executed", "attempt": 2, "call_id": CALL_ID}),
        (JOINED, {"status": "executed", "attempt": 2}),
        (DONE, {"status": "finished", "result": "success", "comment": "ANSWER b"}),
        (CallbackCancelled(), {"status": "cancelled"}),
    ],
)
def test_the_body_has_the_data_of_its_event(fact: CallbackFact, more: dict[str, Any]) -> None:
    common = {
        "callback_id": 65,
        "queue_id": 129,
        "a_number": "1001",
        "b_number": "+77010001001",
        "name": "Айгуль",
        "task_id": "t1",
    }
    body = body_of(fact)
    assert body["data"] == common | more
    assert body["type"] == tag_of(fact)
    assert datetime.fromisoformat(body["timestamp"]) == recorded([SCHEDULED, fact])[1].recorded_at
    assert (body["organization_id"], body["sequence"]) == (1, 2)


def test_an_id_is_derived_from_its_event() -> None:
    ids = [message.id for fact in (STARTED, JOINED) if (message := message_about(fact))]
    again = [message.id for fact in (STARTED, JOINED) if (message := message_about(fact))]
    assert ids == again
    assert ids[0].startswith("msg_")
    assert body_of(STARTED)["id"] == ids[0]
    (_, _, later) = recorded([SCHEDULED, STARTED, AGAIN], "callback/65")
    other = message_of(later, SCHEDULED)
    assert other
    assert other.id not in ids


def test_messages_before_a_call_expire_soon() -> None:
    before, after = message_about(STARTED), message_about(DONE)
    assert before
    assert after
    assert (before.expires_at - before.recorded_at).total_seconds() == 120
    assert (after.expires_at - after.recorded_at).total_seconds() == 96 * 3600


def test_the_longest_body_stays_under_20_kilobytes() -> None:
    long = msgspec.structs.replace(SCHEDULED.personal, name="я" * 2_000)
    message = message_about(STARTED, msgspec.structs.replace(SCHEDULED, personal=long))
    assert message
    assert len(message.body) < 20_000


def test_messages_to_one_host_share_a_lane_within_their_organisation() -> None:
    one = lane_of(1, host_of("https://A.example/x?y"))
    assert one == lane_of(1, host_of("http://a.example.:8080/z"))
    assert one != lane_of(2, host_of("https://a.example/"))
    assert one != lane_of(1, host_of("https://b.a.example/"))
