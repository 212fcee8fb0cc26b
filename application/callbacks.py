"""Use cases of callbacks (docs/contracts/task_scheduler.md): schedule, delete, read."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from application.callback_queues import CallbackQueues
from application.callers import Request
from application.command_handler import CommandResult, Idempotency, change
from application.cooperative import yielding
from application.dial_policy import policy_of
from application.errors import CallbackNotFound, OrganizationNotFound
from application.headroom import Headroom
from application.new_callbacks import NewCallback, NewCallbackFacts
from application.number_quota import CalledNumber, NumberQuota
from application.ports.directory import Directory
from application.ports.event_log import EventLog, IdSequences, Page
from application.webhook_targets import PUBLIC_ONLY, TargetPolicy
from domain.callback.callback import Callback, evolve, replay
from domain.callback.events import CallbackFact, CallbackScheduled, Leg
from domain.model import Recorded
from domain.organization.limits import Limits
from domain.permissions import Permission
from domain.streams import callback_stream

Events = Sequence[Recorded[CallbackFact]]


class CallbacksResult(msgspec.Struct, frozen=True, kw_only=True):
    """New callbacks, and the log position from which views show them.

    ``is_replay``: an earlier request with the same idempotency key scheduled them.
    """

    callbacks: Sequence[Callback]
    position: int
    is_replay: bool = False


class Callbacks:
    """Use cases that schedule, delete and read callbacks. Callbacks are read from the log, so they are always current."""

    def __init__(
        self,
        log: EventLog,
        sequences: IdSequences,
        directory: Directory,
        queues: CallbackQueues,
        *,
        waiting: Headroom,
        number_quota: NumberQuota,
        limits: Limits,
        targets: TargetPolicy = PUBLIC_ONLY,
    ) -> None:
        """Record callbacks in ``log``, with ids from ``sequences``, as many as ``waiting`` admits.

        ``limits`` are of organisations that have none of their own in the ``directory``. Allow webhooks to
        ``targets``.
        """
        self._log = log
        self._sequences = sequences
        self._directory = directory
        self._queues = queues
        self._waiting = waiting
        self._number_quota = number_quota
        self._limits = limits
        self._targets = targets

    async def schedule(self, queue_id: int, new: Sequence[NewCallback], request: Request) -> CallbacksResult:
        """Schedule at least one callback, all or none, in their order.

        Raises QueueNotFound, InvalidFields (``tasks[3].a_number``), LimitReached, KeyReused, ConcurrentUpdate and
        StorageUnavailable.
        """
        caller = request.token_holder
        await self._queues.check(queue_id, caller.organization_id)
        idempotency = Idempotency(self._log, request, caller.scope)

        async def record() -> CommandResult[CallbackFact]:
            organization = await self._directory.organization(caller.organization_id)
            if organization is None:
                raise OrganizationNotFound
            settings = organization.settings
            limits = self._limits.with_own(settings.limits)
            builder = NewCallbackFacts(queue_id, settings.region, policy_of(settings), self._targets)
            envelope = request.envelope(caller.organization_id, caller.actor)
            async with self._waiting.reserve(caller.organization_id, limits, len(new)) as room:
                ids = await self._sequences.new_callback_ids(len(new))
                facts = await builder.build(caller.organization_id, new, ids)
                streams = [callback_stream(callback_id) for callback_id in ids]
                async with self._number_quota.reserve(
                    caller.organization_id,
                    _called(facts),
                    limits.open_per_number,
                    own=settings.caller_ids,
                    queue_id=queue_id,
                ) as reservation:
                    appended = await self._log.append_all(streams, facts, envelope, idempotency.key)
                    room.position = reservation.position = appended.position
            return CommandResult(appended.events)

        handled = await idempotency.run(record)
        events = handled.events
        if handled.is_replay:  # the record names the first callback; the others follow it in the log
            events = await self._log.read_span(events[0].position, len(new))
        callbacks = [evolve(None, event) async for event in yielding(events, caller.organization_id)]
        return CallbacksResult(callbacks=callbacks, position=events[-1].position, is_replay=handled.is_replay)

    async def get(self, queue_id: int, callback_id: int, organization_id: int) -> Callback:
        """Return the callback as it is now. Raises QueueNotFound, CallbackNotFound."""
        return _callback(await self._shown_events(queue_id, callback_id, organization_id))

    async def delete(self, queue_id: int, callback_id: int, request: Request) -> int:
        """Cancel the callback, or hide a finished one; return the log position from which views show that.

        Raises QueueNotFound, CallbackNotFound, ConcurrentUpdate, StorageUnavailable.
        """
        caller = request.token_holder
        envelope = request.envelope(caller.organization_id, caller.actor)
        freed = list[str]()

        def delete(events: Events) -> Sequence[CallbackFact]:
            nonlocal freed
            callback = _callback(events)
            freed = [callback.details.a_number, callback.details.b_number] if callback.waits else []
            return callback.delete()

        handled = await change(
            lambda: self._shown_events(queue_id, callback_id, caller.organization_id),
            delete,
            lambda version, facts: self._log.append(callback_stream(callback_id), version, facts, envelope),
        )
        position = handled.events[-1].position
        if freed:
            self._waiting.free(caller.organization_id, position)
            self._number_quota.free(caller.organization_id, freed, position)
        return position

    async def history(self, queue_id: int, callback_id: int, request: Request, *, after: int = 0, limit: int) -> Page:
        """Return events of the callback, oldest first: at most ``limit`` after that version.

        Only auditors can read a deleted callback, or one in a deleted queue. Raises QueueNotFound, CallbackNotFound.
        """
        caller = request.token_holder
        read = self._events if caller.may(Permission.AUDIT) else self._shown_events
        events = (await read(queue_id, callback_id, caller.organization_id))[after:]  # few: tries are bounded
        return Page(events[:limit], has_next=len(events) > limit)

    async def _shown_events(self, queue_id: int, callback_id: int, organization_id: int) -> Events:
        """Return the events of a callback that is not deleted, in a queue that is not deleted."""
        _, events = await asyncio.gather(
            self._queues.check(queue_id, organization_id), self._events(queue_id, callback_id, organization_id)
        )
        if _callback(events).is_deleted:
            raise CallbackNotFound
        return events

    async def _events(self, queue_id: int, callback_id: int, organization_id: int) -> Events:
        events: Sequence[Recorded[Any]] = await self._log.read(callback_stream(callback_id))
        if not events or (events[0].organization_id, events[0].fact.queue_id) != (organization_id, queue_id):
            raise CallbackNotFound
        return events


def _called(facts: Sequence[CallbackScheduled]) -> Iterator[CalledNumber]:
    for index, fact in enumerate(facts):
        yield CalledNumber(f"tasks[{index}].a_number", Leg.A, fact.personal.a_number, index)
        yield CalledNumber(f"tasks[{index}].b_number", Leg.B, fact.personal.b_number, index)


def _callback(events: Events) -> Callback:
    callback = replay(events)
    if callback is None:
        raise CallbackNotFound
    return callback
