"""The state of a delivery after an attempt."""

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
    NOT_SIGNED,
    NOT_STARTED,
    NOT_STARTED_S,
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


def after(status: int | None, retry_state: RetryState = NEW, retry_after: str | None = None) -> DeliveryUpdate:
    """Return the update after a response, without jitter."""
    error = None if status else "timeout"
    return decide_update(
        ReceiverResponse(seconds=0.1, status=status, error=error, retry_after=retry_after), retry_state, NOW, 0.5
    )


def pause(update: DeliveryUpdate) -> float:
    assert update.due_at is not None
    return (update.due_at - NOW).total_seconds()


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_2xx_response_ends_it(status: int) -> None:
    update = after(status)
    assert (update.state, update.health, update.error) == (DeliveryState.DELIVERED, Health.HEALTHY, None)


@pytest.mark.parametrize("status", [None, 500, 502, 504, 408, 425, 429, 503])
def test_a_failure_is_retried_and_counts_against_the_host(status: int | None) -> None:
    update = after(status)
    assert (update.state, update.health, update.step) == (DeliveryState.PENDING, Health.FAILING, 1)
    assert pause(update) == 5


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_retried(status: int) -> None:
    update = after(status)
    assert (update.state, update.health, update.error) == (
        DeliveryState.PENDING,
        Health.HEALTHY,
        f"status_{status}",
    )


def test_a_refusal_is_retried_and_counted_and_the_host_is_healthy() -> None:
    retry_state = NEW
    for refusals in (1, 2, 3):
        update = after(404, retry_state)
        assert (update.state, update.refusals, update.health) == (DeliveryState.PENDING, refusals, Health.HEALTHY)
        retry_state = replace(retry_state, step=update.step, refusals=update.refusals)
    assert after(500, retry_state).refusals == 0


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
    retry_state, pauses = NEW, []
    while (update := after(500, retry_state)).state is DeliveryState.PENDING:
        pauses.append(pause(update))
        retry_state = replace(retry_state, step=update.step)
    assert pauses == list(LONG_S)
    assert len(pauses) + 1 == 10
    assert timedelta(seconds=sum(pauses)) == timedelta(hours=75, minutes=35, seconds=5)
    assert (update.state, update.due_at) == (DeliveryState.FAILED, None)


@pytest.mark.parametrize("kind", [WebhookKind.BEFORE, WebhookKind.BEFORE_AGAIN])
def test_the_short_schedule_expires_within_a_minute(kind: WebhookKind) -> None:
    retry_state, pauses = replace(BEFORE, kind=kind), []
    while (update := after(None, retry_state)).state is DeliveryState.PENDING:
        pauses.append(pause(update))
        retry_state = replace(retry_state, step=update.step)
    assert pauses == list(SHORT_S)
    assert update.state is DeliveryState.EXPIRED


def test_a_delivery_that_would_be_due_after_its_expiry_expires_at_once() -> None:
    assert after(500, replace(NEW, expires_at=NOW + timedelta(seconds=5))).state is DeliveryState.EXPIRED
    assert after(500, replace(NEW, expires_at=NOW + timedelta(seconds=6))).state is DeliveryState.PENDING


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", ["120", format_datetime(NOW + timedelta(seconds=120), usegmt=True)])
def test_retry_after_pauses_the_host_in_seconds_and_as_a_date(status: int, header: str) -> None:
    update = after(status, retry_after=header)
    assert update.due_at == update.pause_until == NOW + timedelta(seconds=120)
    assert update.health is Health.UNKNOWN


@pytest.mark.parametrize(("header", "seconds"), [("1", 5), ("0", 5), ("9" * 30, 86_400), ("172800", 86_400)])
def test_retry_after_is_held_between_the_schedule_and_a_day(header: str, seconds: int) -> None:
    assert pause(after(429, retry_after=header)) == seconds


@pytest.mark.parametrize("header", ["", "soon", "-5", "1.5", "٣", "Sun, 99 Nov 2026 09:00:00 GMT"])
def test_an_unreadable_retry_after_is_none(header: str) -> None:
    assert retry_at(header, NOW) is None
    assert after(429, retry_after=header).pause_until is None


def test_retry_after_of_other_responses_is_ignored() -> None:
    assert after(500, retry_after="3600").pause_until is None


_responses = st.builds(
    ReceiverResponse,
    seconds=st.just(0.0),
    status=st.none() | st.integers(100, 599),
    error=st.none() | st.sampled_from(["timeout", "destination_not_allowed"]),
    retry_after=st.none() | st.integers(0, 10**6).map(str) | st.text(max_size=20),
    aborts=st.booleans(),
)


@given(_responses, st.integers(0, 12), st.sampled_from(WebhookKind), st.floats(0, 1), st.integers(1, 10**6))
def test_after_any_response_it_ends_or_is_retried_within_bounds(
    response: ReceiverResponse, step: int, kind: WebhookKind, jitter: float, left_s: int
) -> None:
    retry_state = RetryState(kind=kind, step=step, refusals=0, expires_at=NOW + timedelta(seconds=left_s))
    update = decide_update(response, retry_state, NOW, jitter)
    assert update.step == step + 1
    assert (update.due_at is not None) == (update.state is DeliveryState.PENDING)
    if update.due_at is not None:
        assert NOW < update.due_at < retry_state.expires_at
        assert update.due_at <= NOW + 1.2 * LONGEST_PAUSE
        assert update.error


@given(st.floats(0, 1), st.integers(0, len(LONG_S) - 1))
def test_jitter_is_a_fifth_either_way(jitter: float, step: int) -> None:
    update = decide_update(ReceiverResponse(seconds=0, status=500), replace(NEW, step=step), NOW, jitter)
    assert 0.8 * LONG_S[step] <= pause(update) <= 1.2 * LONG_S[step]


def test_an_attempt_that_did_not_start_is_made_soon_and_shows_nothing_about_the_host() -> None:
    state = replace(NEW, step=3, refusals=2)
    update = decide_update(ReceiverResponse(seconds=3.0, error=NOT_STARTED), state, NOW, 0.5)
    assert (update.state, update.health, update.is_counted) == (DeliveryState.PENDING, Health.UNKNOWN, False)
    assert (update.step, update.refusals, pause(update)) == (3, 2, NOT_STARTED_S)


def test_an_attempt_that_did_not_start_in_the_lifetime_of_its_message_expires() -> None:
    state = replace(NEW, expires_at=NOW + timedelta(seconds=NOT_STARTED_S))
    update = decide_update(ReceiverResponse(seconds=3.0, error=NOT_STARTED), state, NOW, 0.5)
    assert (update.state, update.due_at) == (DeliveryState.EXPIRED, None)


def test_a_message_that_cannot_be_signed_shows_nothing_about_the_host() -> None:
    update = decide_update(ReceiverResponse(seconds=0.0, error=NOT_SIGNED), NEW, NOW, 0.5)
    assert (update.state, update.health, update.step, pause(update)) == (
        DeliveryState.PENDING,
        Health.UNKNOWN,
        1,
        LONG_S[0],
    )
