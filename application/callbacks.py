"""The use cases of callbacks (contract 2)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from application.callback_queues import CallbackQueues
from application.callers import Request
from application.cooperative import yielding
from application.errors import CallbackNotFound, ConcurrentUpdate, IdempotencyKeyTaken, OrganizationNotFound
from application.idempotency import answered, idempotency_key_of
from application.new_callbacks import NewCallback, NewCallbackFacts
from application.ports.directory import Directory
from application.ports.event_log import EventLog, IdempotencyKey, IdSequences
from application.webhook_targets import Network
from domain.callback.callback import Callback, evolve, replay
from domain.callback.events import CallbackFact
from domain.model import Recorded
from domain.streams import callback_stream
from domain.values import Permission

_RETRIES = 8


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """New callbacks, and the log position where a view shows them. ``replayed``: the first answer again."""

    callbacks: Sequence[Callback]
    position: int
    replayed: bool = False


class Callbacks:
    """Schedules, deletes and shows callbacks; each is read from the log, so always as of now."""

    def __init__(
        self,
        log: EventLog,
        numbers: IdSequences,
        directory: Directory,
        queues: CallbackQueues,
        opened: tuple[Network, ...] = (),
    ) -> None:
        """Record in ``log``, under new ``numbers``; take webhooks into the ``opened`` networks too."""
        self._log = log
        self._numbers = numbers
        self._directory = directory
        self._queues = queues
        self._opened = opened

    async def schedule(self, queue_id: int, wanted: Sequence[NewCallback], request: Request) -> Scheduled:
        """Schedule at least one callback, all or none, in their order.

        Raises QueueNotFound, InvalidFields (``tasks[3].a_number``), KeyReused, ConcurrentUpdate and StorageUnavailable.
        """
        caller = request.holder
        await self._queues.get(queue_id, caller.organization_id)
        idempotency_key = idempotency_key_of(request, f"token/{caller.token_id}")
        if answer := await self._answered(idempotency_key, len(wanted)):
            return answer
        organization = await self._directory.organization(caller.organization_id)
        if organization is None:
            raise OrganizationNotFound
        ids = await self._numbers.new_callback_ids(len(wanted))
        facts = await NewCallbackFacts(queue_id, organization.settings.region, self._opened).facts(wanted, ids)
        envelope = request.envelope(caller.organization_id, caller.actor)
        try:
            appended = await self._log.append_all(
                [callback_stream(number) for number in ids], facts, envelope, idempotency_key
            )
        except IdempotencyKeyTaken as error:
            if answer := await self._answered(idempotency_key, len(wanted)):
                return answer
            raise ConcurrentUpdate from error
        return await _shown(appended.events)

    async def get(self, queue_id: int, callback_id: int, organization_id: int) -> Callback:
        """Answer the callback as it is. Raises QueueNotFound, CallbackNotFound."""
        _, events = await asyncio.gather(
            self._queues.get(queue_id, organization_id), self._events(queue_id, callback_id, organization_id)
        )
        callback = replay(events)
        if callback is None or callback.is_deleted:
            raise CallbackNotFound
        return callback

    async def delete(self, queue_id: int, callback_id: int, request: Request) -> int:
        """Cancel the callback, or hide one that is finished; answer the log position where views show that.

        Raises QueueNotFound, CallbackNotFound, ConcurrentUpdate, StorageUnavailable.
        """
        caller = request.holder
        envelope = request.envelope(caller.organization_id, caller.actor)
        for _ in range(_RETRIES):
            callback = await self.get(queue_id, callback_id, caller.organization_id)
            try:
                appended = await self._log.append(
                    callback_stream(callback_id), callback.version, callback.delete(), envelope
                )
            except ConcurrentUpdate:
                continue
            return appended.position
        raise ConcurrentUpdate

    async def history(self, queue_id: int, callback_id: int, request: Request) -> Sequence[Recorded[CallbackFact]]:
        """Answer all that happened to the callback, oldest first. Raises QueueNotFound, CallbackNotFound.

        What is deleted, or in a deleted queue, is shown to auditors only.
        """
        caller = request.holder
        if not caller.may(Permission.AUDIT):
            await self.get(queue_id, callback_id, caller.organization_id)
        return await self._events(queue_id, callback_id, caller.organization_id)

    async def _events(self, queue_id: int, callback_id: int, organization_id: int) -> Sequence[Recorded[CallbackFact]]:
        events: Sequence[Recorded[Any]] = await self._log.read(callback_stream(callback_id))
        if not events or (events[0].organization_id, events[0].fact.queue_id) != (organization_id, queue_id):
            raise CallbackNotFound
        return events

    async def _answered(self, idempotency_key: IdempotencyKey | None, count: int) -> Scheduled | None:
        """Answer what the claim has done: the same request, so as many callbacks, side by side in the log."""
        claimed = await answered(self._log, idempotency_key)
        if claimed is None:
            return None
        first = (await self._log.read(claimed.stream))[0]
        return await _shown(await self._log.read_span(first.position, count), replayed=True)


async def _shown(events: Sequence[Recorded[CallbackFact]], *, replayed: bool = False) -> Scheduled:
    callbacks = [evolve(None, event) async for event in yielding(events)]
    return Scheduled(callbacks=callbacks, position=events[-1].position, replayed=replayed)
