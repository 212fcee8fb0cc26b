"""The verdict of `./run chaos --calls` finds each violation."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    FinishResult,
)
from infrastructure.gateways.simulated.network import Counts
from tests.chaos.calls_verdict import Streams, faults_of_calls, faults_of_histories, faults_of_webhooks, first_receipts
from tests.support.histories import BUSY, START, call_id_of, recorded, scheduled
from tests.support.receiving import Received

STREAM = "callback/65"
GOOD = Counts(
    placed=9, running=0, most=3, most_dials=1, dialled_again=0, examples=[], live_again=0, outcomes={}
)  # of ten attempts, one of them lost
FACTS: list[CallbackFact] = [
    scheduled(try_count=2, try_again_pause=0),
    AttemptStarted(attempt=1, call_id=call_id_of(1)),
    AttemptFailed(attempt=1, end=BUSY),
    CallbackDelayed(due_at=START),
    AttemptStarted(attempt=2, call_id=call_id_of(2)),
    AttemptFailed(attempt=2, end=BUSY),
    CallbackFinished(result=FinishResult.FAILED, comment="BUSY a busy"),
]
RECEIPTS = [("before", 2), ("before_again", 5), ("after", 7)]


def streams(facts: Sequence[CallbackFact]) -> Streams:
    return {STREAM: recorded(facts, STREAM)}


def faults_of_counts(**changes: Any) -> list[str]:
    return [*faults_of_calls(msgspec.structs.replace(GOOD, **changes), attempts=10, lost=1, limit=3)]


def test_a_run_in_which_all_went_well_has_no_faults() -> None:
    assert faults_of_counts() == []
    assert not [*faults_of_webhooks(streams(FACTS), {STREAM: RECEIPTS})]


@pytest.mark.parametrize(
    "changes",
    [{"most": 4}, {"most": 2}, {"dialled_again": 1}, {"live_again": 1}, {"placed": 10}, {"placed": 8}, {"running": 1}],
)
def test_what_the_network_counted_too_much_or_too_little_is_a_fault(changes: dict[str, int]) -> None:
    assert len(faults_of_counts(**changes)) == 1


@pytest.mark.parametrize(
    ("length", "callbacks"), [(4, 1), (5, 1), (7, 2)], ids=["waits forever", "dials forever", "one is missing"]
)
def test_a_callback_that_is_lost_is_a_fault(length: int, callbacks: int) -> None:
    assert [*faults_of_histories(streams(FACTS[:length]), callbacks)]


def test_a_history_that_the_contract_forbids_is_a_fault() -> None:
    assert [*faults_of_histories(streams([*FACTS[:3], *FACTS[4:]]), 1)]


@pytest.mark.parametrize(
    "receipts",
    [
        RECEIPTS[:2],
        RECEIPTS[1:],
        [RECEIPTS[0], RECEIPTS[2], RECEIPTS[1]],
        [*RECEIPTS, ("after", 8)],
        [("before", 2), ("before", 5), RECEIPTS[2]],
    ],
    ids=["one is missing", "the first is missing", "out of order", "one too many", "at another address"],
)
def test_a_webhook_that_is_missing_wrong_or_out_of_order_is_a_fault(receipts: list[tuple[str, int]]) -> None:
    assert len([*faults_of_webhooks(streams(FACTS), {STREAM: receipts})]) == 1


def test_a_webhook_of_nobody_is_a_fault() -> None:
    assert len([*faults_of_webhooks(streams(FACTS), {STREAM: RECEIPTS, "callback/129": RECEIPTS})]) == 1


def test_only_the_first_receipt_of_a_webhook_counts() -> None:
    received = [webhook("m1", "before", 2), webhook("m2", "after", 7), webhook("m1", "before", 2)]
    assert first_receipts(received) == {STREAM: [("before", 2), ("after", 7)]}


def webhook(message_id: str, kind: str, sequence: int) -> Received:
    body = msgspec.json.encode({"sequence": sequence, "data": {"callback_id": 65}})
    return Received(f"/{kind}", {"webhook-id": message_id}, body, 0.0)
