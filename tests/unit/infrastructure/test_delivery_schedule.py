"""What becomes of a delivery after an attempt."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.policies.notify_webhooks import WebhookKind
from application.ports.webhooks import DeliveryState
from infrastructure.webhooks.delivery_schedule import (
    LONG_S,
    LONGEST_PAUSE,
    SHORT_S,
    DeliveryUpdate,
    Health,
    ReceiverResponse,
    RetryState,
    decide_update,
    retry_at,
)

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NEW = RetryState(kind=WebhookKind.AFTER, step=0, refusals=0, expires_at=NOW + WebhookKind.AFTER.lifetime)
BEFORE = replace(NEW, kind=WebhookKind.BEFORE, expires_at=NOW + WebhookKind.BEFORE.lifetime)


def after(status: int | None, standing: RetryState = NEW, retry_after: str | None = None) -> DeliveryUpdate:
    """What an answer means, with luck in the middle: no jitter."""
    error = None if status else "timeout"
    return decide_update(
        ReceiverResponse(seconds=0.1, status=status, error=error, retry_after=retry_after), standing, NOW, 0.5
    )


def pause(decided: DeliveryUpdate) -> float:
    assert decided.due_at is not None
    return (decided.due_at - NOW).total_seconds()


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_an_answer_of_2xx_ends_it(status: int) -> None:
    decided = after(status)
    assert (decided.state, decided.health, decided.error) == (DeliveryState.DELIVERED, Health.HEALTHY, None)


@pytest.mark.parametrize("status", [None, 500, 502, 504, 408, 425, 429, 503])
def test_trouble_is_tried_again_and_counts_against_the_host(status: int | None) -> None:
    decided = after(status)
    assert (decided.state, decided.health, decided.step) == (DeliveryState.PENDING, Health.FAILING, 1)
    assert pause(decided) == 5


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_tried_again(status: int) -> None:
    decided = after(status)
    assert (decided.state, decided.health, decided.error) == (
        DeliveryState.PENDING,
        Health.HEALTHY,
        f"status_{status}",
    )


def test_a_refusal_is_tried_again_counted_and_no_sign_of_illness() -> None:
    standing = NEW
    for refusals in (1, 2, 3):
        decided = after(404, standing)
        assert (decided.state, decided.refusals, decided.health) == (DeliveryState.PENDING, refusals, Health.HEALTHY)
        standing = replace(standing, step=decided.step, refusals=decided.refusals)
    assert after(500, standing).refusals == 0


def test_gone_and_not_allowed_and_abort_message_are_final() -> None:
    gone, aborted = after(410), decide_update(ReceiverResponse(seconds=0, status=500, aborts=True), NEW, NOW, 0.5)
    blocked = decide_update(ReceiverResponse(seconds=0, error="destination_not_allowed"), NEW, NOW, 0.5)
    assert [one.state for one in (gone, aborted, blocked)] == [DeliveryState.FAILED] * 3
    assert [one.error for one in (gone, aborted, blocked)] == ["gone", "aborted_by_receiver", "destination_not_allowed"]
    assert [one.is_gone for one in (gone, aborted, blocked)] == [True, False, False]
    assert blocked.health is Health.UNKNOWN


def test_abort_message_does_not_undo_a_success() -> None:
    assert (
        decide_update(ReceiverResponse(seconds=0, status=200, aborts=True), NEW, NOW, 0.5).state
        is DeliveryState.DELIVERED
    )


def test_the_long_schedule_makes_ten_attempts_over_75_hours_and_35_minutes() -> None:
    standing, pauses = NEW, []
    while (decided := after(500, standing)).state is DeliveryState.PENDING:
        pauses.append(pause(decided))
        standing = replace(standing, step=decided.step)
    assert pauses == list(LONG_S)
    assert len(pauses) + 1 == 10
    assert timedelta(seconds=sum(pauses)) == timedelta(hours=75, minutes=35, seconds=5)
    assert (decided.state, decided.due_at) == (DeliveryState.FAILED, None)


@pytest.mark.parametrize("kind", [WebhookKind.BEFORE, WebhookKind.BEFORE_AGAIN])
def test_the_short_schedule_expires_within_a_minute(kind: WebhookKind) -> None:
    standing, pauses = replace(BEFORE, kind=kind), []
    while (decided := after(None, standing)).state is DeliveryState.PENDING:
        pauses.append(pause(decided))
        standing = replace(standing, step=decided.step)
    assert pauses == list(SHORT_S)
    assert decided.state is DeliveryState.EXPIRED


def test_what_would_be_due_after_its_expiry_expires_at_once() -> None:
    assert after(500, replace(NEW, expires_at=NOW + timedelta(seconds=5))).state is DeliveryState.EXPIRED
    assert after(500, replace(NEW, expires_at=NOW + timedelta(seconds=6))).state is DeliveryState.PENDING


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", ["120", format_datetime(NOW + timedelta(seconds=120), usegmt=True)])
def test_retry_after_pauses_the_host_in_seconds_and_as_a_date(status: int, header: str) -> None:
    decided = after(status, retry_after=header)
    assert decided.due_at == decided.pause_until == NOW + timedelta(seconds=120)
    assert decided.health is Health.UNKNOWN


@pytest.mark.parametrize(("header", "seconds"), [("1", 5), ("0", 5), ("9" * 30, 86_400), ("172800", 86_400)])
def test_retry_after_is_held_between_the_schedule_and_a_day(header: str, seconds: int) -> None:
    assert pause(after(429, retry_after=header)) == seconds


@pytest.mark.parametrize("header", ["", "soon", "-5", "1.5", "٣", "Sun, 99 Nov 2026 09:00:00 GMT"])
def test_an_unreadable_retry_after_is_none(header: str) -> None:
    assert retry_at(header, NOW) is None
    assert after(429, retry_after=header).pause_until is None


def test_retry_after_of_other_answers_is_not_heeded() -> None:
    assert after(500, retry_after="3600").pause_until is None


_answers = st.builds(
    ReceiverResponse,
    seconds=st.just(0.0),
    status=st.none() | st.integers(100, 599),
    error=st.none() | st.sampled_from(["timeout", "destination_not_allowed"]),
    retry_after=st.none() | st.integers(0, 10**6).map(str) | st.text(max_size=20),
    aborts=st.booleans(),
)


@given(_answers, st.integers(0, 12), st.sampled_from(WebhookKind), st.floats(0, 1), st.integers(1, 10**6))
def test_whatever_comes_it_ends_or_is_tried_later_within_bounds(
    answer: ReceiverResponse, step: int, kind: WebhookKind, luck: float, left_s: int
) -> None:
    standing = RetryState(kind=kind, step=step, refusals=0, expires_at=NOW + timedelta(seconds=left_s))
    decided = decide_update(answer, standing, NOW, luck)
    assert decided.step == step + 1
    assert (decided.due_at is not None) == (decided.state is DeliveryState.PENDING)
    if decided.due_at is not None:
        assert NOW < decided.due_at < standing.expires_at
        assert decided.due_at <= NOW + 1.2 * LONGEST_PAUSE
        assert decided.error


@given(st.floats(0, 1), st.integers(0, len(LONG_S) - 1))
def test_jitter_is_a_fifth_either_way(luck: float, step: int) -> None:
    decided = decide_update(ReceiverResponse(seconds=0, status=500), replace(NEW, step=step), NOW, luck)
    assert 0.8 * LONG_S[step] <= pause(decided) <= 1.2 * LONG_S[step]
