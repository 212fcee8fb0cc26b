"""Digests of golden histories, folded: they tell when a snapshot of an earlier fold would be wrong.

A golden history is made of the golden files of an aggregate's facts. Run `.venv/bin/python -m tests.snapshot_digests` after
a new fact, or after the number of a fold was raised.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from domain.model import Recorded, Snapshot
from domain.snapshots import SNAPSHOTS
from infrastructure.event_log.codec import decode, encode_snapshot

GOLDEN = Path(__file__).parent / "golden"
DIGESTS = GOLDEN / "snapshots" / "digests.json"

_EVENTS = 500
_STREAMS = {
    "task/": "task/0197b1c2-f000-7000-8000-000000000001",
    "queue/": "queue/65",
    "organization/": "organization/65",
}
_FIRST = {"task/": "task.filed.v1", "queue/": "queue.created.v1", "organization/": "organization.created.v1"}
_START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


class Digest(msgspec.Struct, frozen=True):
    """Digests of a golden history and of the snapshot that it folds to."""

    history: str
    snapshot: str


def digests() -> dict[str, Digest]:
    """Return the digest of each aggregate of which there are snapshots, by their topic."""
    return {SNAPSHOTS[prefix].topic: _digest(prefix) for prefix in SNAPSHOTS}


def recorded_digests() -> dict[str, Digest]:
    """Return the digests in the repository."""
    return msgspec.json.decode(DIGESTS.read_bytes(), type=dict[str, Digest])


def golden_history(prefix: str) -> list[Recorded[Any]]:
    """Return a long history of an aggregate: its golden facts, again and again, in an order that is always the same."""
    first = f"{_FIRST[prefix]}.json"
    paths = sorted(path for path in GOLDEN.glob(f"{prefix[:-1]}.*.json") if not path.name.startswith(_FIRST[prefix]))
    chosen = [GOLDEN / first, *paths, *(paths[_draw(number, len(paths))] for number in range(_EVENTS))]
    return [_recorded(_STREAMS[prefix], version, path) for version, path in zip(count(1), chosen, strict=False)]


def _digest(prefix: str) -> Digest:
    history = golden_history(prefix)
    snapshot = Snapshot(state=SNAPSHOTS[prefix].replay(history), bytes=0)
    stored = msgspec.json.encode(history, order="deterministic")
    return Digest(history=sha256(stored).hexdigest(), snapshot=sha256(encode_snapshot(snapshot)).hexdigest())


def _draw(number: int, choices: int) -> int:
    return int.from_bytes(blake2b(str(number).encode(), digest_size=8).digest()) % choices


def _recorded(stream: str, version: int, path: Path) -> Recorded[Any]:
    tag = path.name.removesuffix(".json").removesuffix(".least").partition(".before_")[0]
    return Recorded(
        stream=stream,
        version=version,
        position=version,
        log_id=UUID(int=1),
        recorded_at=_START + timedelta(seconds=version),
        fact=decode(tag, path.read_bytes().strip()),
        organization_id=65,
        actor="member/m1",
    )


def main() -> int:
    """Write the digests, unless a fold changed under the same number."""
    now, before = digests(), recorded_digests() if DIGESTS.exists() else {}
    for topic, digest in now.items():
        known = before.get(topic)
        if known and known.history == digest.history and known.snapshot != digest.snapshot:
            sys.stderr.write(f"{topic}: the same history folds to another state: raise FORMAT beside `evolve`\n")
            return 1
    DIGESTS.parent.mkdir(exist_ok=True)
    DIGESTS.write_text(json.dumps(msgspec.to_builtins(now), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
