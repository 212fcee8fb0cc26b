"""Facts to bytes and back, and rows of the log to recorded facts."""

from datetime import datetime
from typing import Any

import msgspec

from domain.catalogue import FACTS
from domain.model import Fact, Recorded, Snapshot
from domain.snapshots import SNAPSHOTS
from infrastructure.event_log.identity import LogIdentity
from infrastructure.event_log.upcasters import UPCASTERS

_encoder = msgspec.json.Encoder()
_decoders: dict[str, msgspec.json.Decoder[Any]] = {tag: msgspec.json.Decoder(fact) for tag, fact in FACTS.items()} | {
    format_.topic: msgspec.json.Decoder(Snapshot[format_.state]) for format_ in SNAPSHOTS.values()
}

COLUMNS = (
    "notification_id, originator_id, originator_version, topic, state, recorded_at,"
    " organization_id, actor, reason, causation, correlation"
)
Row = tuple[int, str, int, str, bytes, datetime, int | None, str | None, str | None, str | None, str | None]


class UnknownFact(ValueError):
    """The log holds a fact whose tag this program does not know, or which does not decode as its tag says."""


def encode(fact: Fact) -> bytes:
    """Return the fact as JSON, as it is stored."""
    return _encoder.encode(fact)


def encode_snapshot(snapshot: Snapshot[Any]) -> bytes:
    """Return the snapshot as JSON, as it is stored: equal snapshots have equal bytes."""
    # In two steps: msgspec's encoder sorts no members with integer keys.
    return msgspec.json.encode(msgspec.to_builtins(snapshot, str_keys=True, order="deterministic"))


def decode(topic: str, state: bytes) -> Any:
    """Return the fact or snapshot that was stored under the tag; the shape of an old tag is upcast first.

    Raises UnknownFact.
    """
    if upcast := UPCASTERS.get(topic):
        topic, state = upcast(state)
    decoder = _decoders.get(topic)
    if decoder is None:
        raise UnknownFact(f"Unknown tag {topic!r}")
    try:
        return decoder.decode(state)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnknownFact(f"{topic}: {error}") from error


def decode_row(row: Row, identity: LogIdentity) -> Recorded[Any]:
    """Return the recorded fact of a row with ``COLUMNS``. Raises UnknownFact."""
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
