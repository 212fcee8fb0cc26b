"""Snapshots of aggregates: they read back as they were, and a fold does not change under the same number."""

from typing import Any

import pytest

from domain.catalogue import FACTS
from domain.model import Recorded, Snapshot, tag_of
from domain.snapshots import SNAPSHOTS, snapshot_format
from domain.streams import callback_stream
from infrastructure.event_log.codec import decode, encode_snapshot
from tests.snapshot_digests import digests, golden_history, recorded_digests

PREFIXES = sorted(SNAPSHOTS)


def snapshot_of(prefix: str, history: list[Recorded[Any]]) -> Snapshot[Any]:
    return Snapshot(state=SNAPSHOTS[prefix].replay(history), bytes=len(history))


def test_a_golden_history_folds_as_before_under_the_same_number() -> None:
    recorded, now = recorded_digests(), digests()
    for topic, digest in now.items():
        assert topic in recorded, "a new number: run python -m tests.snapshot_digests"
        assert recorded[topic].history == digest.history, "new golden facts: run python -m tests.snapshot_digests"
        assert recorded[topic].snapshot == digest.snapshot, f"{topic}: the fold changed: raise FORMAT beside `evolve`"
    assert recorded.keys() == now.keys()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_golden_history_contains_all_facts_of_its_aggregate(prefix: str) -> None:
    tags = {tag_of(event.fact) for event in golden_history(prefix)}
    assert tags == {tag for tag in FACTS if tag.startswith(f"{prefix[:-1]}.")}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_snapshot_stands_for_the_events_before_it_at_each_version(prefix: str) -> None:
    history = golden_history(prefix)
    replay, topic = SNAPSHOTS[prefix].replay, SNAPSHOTS[prefix].topic
    for version in range(1, len(history) + 1):  # each, since a state with operators is encoded in another way
        stored = encode_snapshot(snapshot_of(prefix, history[:version]))
        read: Recorded[Any] = Recorded(
            stream=history[0].stream,
            version=version,
            position=version,
            log_id=history[0].log_id,
            recorded_at=history[version - 1].recorded_at,
            fact=decode(topic, stored),
            organization_id=65,
        )
        assert replay([read, *history[version:]]) == replay(history)


def test_equal_snapshots_have_equal_bytes() -> None:
    for prefix in PREFIXES:
        history = golden_history(prefix)
        assert encode_snapshot(snapshot_of(prefix, history)) == encode_snapshot(snapshot_of(prefix, history))


def test_there_are_no_snapshots_of_callbacks() -> None:
    assert snapshot_format(callback_stream(1)) is None
