"""Facts to bytes and back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.catalogue import FACTS
from domain.model import Fact, Recorded
from infrastructure.event_log.upcasters import UPCASTERS

_encoder = msgspec.json.Encoder()
_decoders: dict[str, msgspec.json.Decoder[Fact]] = {tag: msgspec.json.Decoder(fact) for tag, fact in FACTS.items()}

COLUMNS = (
    "notification_id, originator_id, originator_version, topic, state, recorded_at,"
    " organization_id, actor, reason, causation, correlation"
)
Row = tuple[int, str, int, str, bytes, datetime, int | None, str | None, str | None, str | None, str | None]


class UnknownFact(ValueError):
    """The log holds a fact that this program does not know, or cannot read as what its tag says."""


def encode(fact: Fact) -> bytes:
    """Answer the fact as JSON, as it is stored."""
    return _encoder.encode(fact)


def decode(topic: str, state: bytes) -> Fact:
    """Answer the fact that was stored under the tag; an old tag's is brought up to date first.

    Raises UnknownFact.
    """
    if upcast := UPCASTERS.get(topic):
        topic, state = upcast(state)
    decoder = _decoders.get(topic)
    if decoder is None:
        raise UnknownFact(f"No fact has the tag {topic!r}")
    try:
        return decoder.decode(state)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnknownFact(f"{topic}: {error}") from error


class LogIdentity:
    """Which log id was in force at which position (design.md §2)."""

    def __init__(self, rows: Sequence[tuple[int, UUID]]) -> None:
        """Take the rows of ``log_identity``."""
        self._newest_first = sorted(rows, reverse=True)
        self._newest = self._newest_first[0]

    def at(self, position: int) -> UUID:
        """Answer the log's id at the position."""
        if position >= self._newest[0]:
            return self._newest[1]
        return next(log_id for since, log_id in self._newest_first if since <= position)


def decode_row(row: Row, identity: LogIdentity) -> Recorded[Any]:
    """Answer the recorded fact of a row with ``COLUMNS``. Raises UnknownFact."""
    position, stream, version, topic, state, recorded_at, organization_id, actor, reason, causation, correlation = row
    return Recorded(
        stream=stream,
        version=version,
        position=position,
        log_id=identity.at(position),
        recorded_at=recorded_at,
        fact=decode(topic, state),
        organization_id=organization_id,
        actor=actor,
        reason=reason,
        causation=causation,
        correlation=correlation,
    )
