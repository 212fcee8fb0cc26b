"""A build that answers before the commit: the harness must find it out. `./run chaos --answer-early`."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from application.ports.event_log import Appended, IdempotencyKey
from domain.model import Envelope, Fact
from infrastructure.event_log.append import Command, outcome_of
from infrastructure.event_log.codec import encode
from infrastructure.event_log.identity import LogIdentity
from infrastructure.event_log.log import PostgresEventLog
from interfaces.cli import main

_background: set[asyncio.Task[Appended]] = set()
_durable_append = PostgresEventLog.append
_NOBODY = UUID(int=0)


async def answer_early(  # noqa: PLR0917 - the same as what it replaces
    self: PostgresEventLog,
    stream: str,
    version: int,
    facts: Sequence[Fact],
    envelope: Envelope,
    idempotency_key: IdempotencyKey | None = None,
) -> Appended:
    """Return at once, as if the facts were recorded; record them in the background."""
    task = asyncio.create_task(_durable_append(self, stream, version, facts, envelope, idempotency_key))
    _background.add(task)
    task.add_done_callback(_background.discard)
    states = [encode(fact) for fact in facts]
    command = Command(stream=stream, version=version, facts=facts, states=states, envelope=envelope)
    now, identity = datetime.now(UTC), LogIdentity([(-1, _NOBODY)])
    outcome = outcome_of(command, ("appended", len(states), now), identity)
    assert isinstance(outcome, Appended)
    return outcome


if __name__ == "__main__":
    PostgresEventLog.append = answer_early
    sys.exit(main())
