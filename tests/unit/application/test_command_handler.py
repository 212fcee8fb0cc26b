"""Handling of commands on a log in memory: conflicts, If-Match, idempotency keys."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from application.callers import Request
from application.command_handler import ATTEMPTS, CommandResult, Idempotency, change
from application.errors import ConcurrentUpdate, KeyReused, PreconditionFailed, TaskNotFound
from application.ports.event_log import Appended
from domain.errors import Refused
from domain.model import Envelope, Fact, Recorded
from domain.task.events import AppealLinked, TaskStarted
from tests.support.histories import filed
from tests.support.memory_log import InMemoryEventLog

pytestmark = pytest.mark.anyio

TASK, OTHER = "task/a", "task/b"
ENVELOPE = Envelope(organization_id=1, actor="cli")
REQUEST = Request(request_id="r1", idempotency_key="key", fingerprint=b"print")

Events = Sequence[Recorded[Any]]


class Desk:
    """Commands on one task of a log; before each of the first ``conflicts`` appends another command is recorded."""

    def __init__(self, conflicts: int = 0) -> None:
        self.log = InMemoryEventLog()
        self.conflicts = conflicts
        self.loads = 0
        self.decided: list[int] = []

    async def load(self) -> Events:
        self.loads += 1
        events = await self.log.read(TASK)
        if not events:
            raise TaskNotFound
        return events

    def deciding(self, *facts: Fact) -> Callable[[Events], Sequence[Fact]]:
        def decide(events: Events) -> Sequence[Fact]:
            self.decided.append(events[-1].version)
            return facts

        return decide

    def appending(self, idempotency: Idempotency | None) -> Callable[[int, Sequence[Fact]], Awaitable[Appended]]:
        async def append(version: int, facts: Sequence[Fact]) -> Appended:
            if self.conflicts:
                self.conflicts -= 1
                await self.log.append(TASK, version, [AppealLinked(appeal_id=f"other {version}")], ENVELOPE)
            return await self.log.append(TASK, version, facts, ENVELOPE, idempotency.key if idempotency else None)

        return append

    async def change(
        self, *facts: Fact, idempotency: Idempotency | None = None, if_match: int | None = None
    ) -> CommandResult[Any]:
        return await change(
            self.load, self.deciding(*facts), self.appending(idempotency), if_match=if_match, idempotency=idempotency
        )

    def idempotency(self, request: Request = REQUEST, scope: str = "token/t") -> Idempotency:
        return Idempotency(self.log, request, scope)

    async def facts(self) -> list[Fact]:
        return [event.fact for event in await self.log.read(TASK)]


@pytest.fixture
async def desk() -> Desk:
    return await opened()


async def opened(conflicts: int = 0) -> Desk:
    desk = Desk(conflicts)
    await desk.log.append(TASK, 0, [filed()], ENVELOPE)
    return desk


async def test_what_is_decided_is_appended_after_the_version_decided_on(desk: Desk) -> None:
    handled = await desk.change(TaskStarted())
    assert [event.version for event in handled.events] == [1, 2]
    assert list(handled.events) == list(await desk.log.read(TASK))
    assert not handled.is_replay


async def test_a_conflict_is_decided_again_on_what_was_recorded_meanwhile() -> None:
    desk = await opened(conflicts=2)
    handled = await desk.change(TaskStarted())
    assert desk.decided == [1, 2, 3]
    assert [event.version for event in handled.events] == [1, 2, 3, 4]
    assert (await desk.facts())[-1] == TaskStarted()


async def test_the_last_attempt_may_still_succeed() -> None:
    desk = await opened(conflicts=ATTEMPTS - 1)
    await desk.change(TaskStarted())
    assert len(desk.decided) == ATTEMPTS


async def test_a_conflict_that_never_ends_is_told_after_the_last_attempt() -> None:
    desk = await opened(conflicts=1_000)
    with pytest.raises(ConcurrentUpdate):
        await desk.change(TaskStarted())
    assert len(desk.decided) == ATTEMPTS
    assert TaskStarted() not in await desk.facts()


async def test_a_caller_may_allow_fewer_attempts() -> None:
    desk = await opened(conflicts=1_000)
    with pytest.raises(ConcurrentUpdate):
        await change(desk.load, desk.deciding(TaskStarted()), desk.appending(None), attempts=3)
    assert len(desk.decided) == 3


async def test_nothing_to_record_appends_nothing(desk: Desk) -> None:
    handled = await desk.change()
    assert [event.version for event in handled.events] == [1]
    assert desk.log.records == {}


async def test_nothing_to_record_still_records_the_idempotency_key(desk: Desk) -> None:
    first = await desk.change(idempotency=desk.idempotency())
    assert [event.version for event in first.events] == [1]
    await desk.change(TaskStarted())
    again = await desk.change(TaskStarted(), idempotency=desk.idempotency())
    assert again == CommandResult(first.events, is_replay=True)


async def test_a_replay_returns_the_stream_as_the_first_command_left_it(desk: Desk) -> None:
    first = await desk.change(TaskStarted(), idempotency=desk.idempotency())
    await desk.change(AppealLinked(appeal_id="later"))
    again = await desk.change(TaskStarted(), idempotency=desk.idempotency())
    assert again == CommandResult(first.events, is_replay=True)
    assert await desk.facts() == [filed(), TaskStarted(), AppealLinked(appeal_id="later")]


async def test_another_request_with_the_same_key_is_refused(desk: Desk) -> None:
    await desk.change(TaskStarted(), idempotency=desk.idempotency())
    other = Request(request_id="r2", idempotency_key="key", fingerprint=b"another print")
    with pytest.raises(KeyReused):
        await desk.change(idempotency=desk.idempotency(other))


async def test_the_same_key_of_another_owner_is_another_key(desk: Desk) -> None:
    await desk.change(TaskStarted(), idempotency=desk.idempotency())
    handled = await desk.change(AppealLinked(appeal_id="7"), idempotency=desk.idempotency(scope="token/u"))
    assert not handled.is_replay


async def taken_meanwhile(desk: Desk, request: Request = REQUEST) -> CommandResult[Any]:
    """Run a command whose key another command takes between the look-up and the append."""

    async def append() -> CommandResult[Any]:
        rival = desk.idempotency(request)
        await desk.log.append(OTHER, 0, [filed()], ENVELOPE, rival.key)
        return CommandResult((await desk.log.append(TASK, 1, [TaskStarted()], ENVELOPE, desk.idempotency().key)).events)

    return await desk.idempotency().run(append)


async def test_a_key_taken_meanwhile_by_the_same_request_is_replayed(desk: Desk) -> None:
    handled = await taken_meanwhile(desk)
    assert handled == CommandResult(await desk.log.read(OTHER), is_replay=True)
    assert await desk.facts() == [filed()]


async def test_a_key_taken_meanwhile_by_another_request_is_refused(desk: Desk) -> None:
    with pytest.raises(KeyReused):
        await taken_meanwhile(desk, Request(request_id="r2", idempotency_key="key", fingerprint=b"another print"))


async def test_a_key_that_is_taken_without_a_record_is_a_conflict(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(_digest: bytes) -> None:
        """Return no record, as if it were not visible yet."""

    monkeypatch.setattr(desk.log, "idempotency_record", none)
    with pytest.raises(ConcurrentUpdate):
        await taken_meanwhile(desk)


async def test_another_version_than_if_match_names_is_refused_before_anything_is_decided(desk: Desk) -> None:
    with pytest.raises(PreconditionFailed):
        await desk.change(TaskStarted(), if_match=2)
    assert desk.decided == []
    await desk.change(TaskStarted(), if_match=1)


async def test_a_version_that_goes_stale_before_the_append_is_refused() -> None:
    desk = await opened(conflicts=1)
    with pytest.raises(PreconditionFailed):
        await desk.change(TaskStarted(), if_match=1)
    assert desk.decided == [1]


async def test_a_replay_comes_before_if_match_because_the_first_response_may_be_lost(desk: Desk) -> None:
    first = await desk.change(TaskStarted(), idempotency=desk.idempotency(), if_match=1)
    assert await desk.change(TaskStarted(), idempotency=desk.idempotency(), if_match=1) == CommandResult(
        first.events, is_replay=True
    )


async def test_what_does_not_exist_is_told_before_a_reused_key(desk: Desk) -> None:
    await desk.log.append(OTHER, 0, [filed()], ENVELOPE, desk.idempotency().key)
    desk.log.events.clear()
    other = Request(request_id="r2", idempotency_key="key", fingerprint=b"another print")
    with pytest.raises(TaskNotFound):
        await desk.change(idempotency=desk.idempotency(other))


async def test_a_refusal_leaves_stream_and_key_alone(desk: Desk) -> None:
    def refuse(_events: Events) -> Sequence[Fact]:
        raise Refused

    idempotency = desk.idempotency()
    with pytest.raises(Refused):
        await change(desk.load, refuse, desk.appending(idempotency), idempotency=idempotency)
    assert (await desk.facts(), desk.log.records) == ([filed()], {})


async def test_a_request_without_a_key_is_recorded_each_time(desk: Desk) -> None:
    idempotency = desk.idempotency(Request(request_id="r1"))
    assert idempotency.key is None
    for version in (2, 3):
        handled = await desk.change(TaskStarted(), idempotency=idempotency)
        assert (handled.events[-1].version, handled.is_replay) == (version, False)
