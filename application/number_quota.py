"""Quota of open callbacks to one number: those that wait, ring or talk."""

from collections import Counter, deque
from collections.abc import AsyncGenerator, Collection, Container, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import Protocol

import msgspec

from application.cooperative import yielding
from application.errors import ERRORS_MAX, InvalidFields
from application.headroom import HeadroomReservation
from application.phone_line_key import line_key
from application.phones import split_extension
from domain.callback.events import Leg
from domain.errors import InvalidField

RULE = "open_per_number"
_UNSEEN_MAX = 100_000


class OpenCount(msgspec.Struct, frozen=True):
    """Open callbacks by line, as of a log position; ``client_leg`` is the leg of the client in the queue, if it names one.

    The callbacks of tasks up to ``tasks_position`` are recorded, at ``head`` or before.
    """

    by_line: Mapping[int, int]
    position: int
    tasks_position: int
    head: int
    client_leg: Leg | None = None


class OpenLines(Protocol):
    """Callbacks that are not finished, or whose call runs, by the lines of their numbers."""

    async def count(self, lines: Collection[int], at_most: int, queue_id: int | None = None) -> OpenCount:
        """Return how many open callbacks have each line on either leg, counted up to ``at_most``.

        Raises StorageUnavailable.
        """
        ...


class CalledNumber(msgspec.Struct, frozen=True):
    """A number of a new callback, and the field that contains it; ``callback`` is the callback's index in the request."""

    field: str
    leg: Leg
    number: str
    callback: int = 0


def is_outside(number: str, own: Container[str]) -> bool:
    """Return whether the number is of the public network, and none of the organisation's ``own`` caller ids."""
    return number.startswith("+") and split_extension(number)[0] not in own


class NumberQuota:
    """Refuses callbacks to numbers to which too many are open.

    The count is as old as the timetable. What this process has recorded since is added to it, and what it has cancelled is
    subtracted; what several processes record at the same moment is not.
    """

    def __init__(self, open_lines: OpenLines) -> None:
        """Count in ``open_lines``."""
        self._open_lines = open_lines
        self._unseen = Counter[int]()
        self._recorded: deque[tuple[int, Collection[int], int]] = deque()
        self._tasks: deque[tuple[int, Collection[int]]] = deque()  # a policy schedules their callbacks
        self._is_asked = False  # until then nothing has to be remembered: there may be no quota

    @asynccontextmanager
    async def reserve(
        self,
        organization_id: int,
        called: Iterable[CalledNumber],
        limit: int | None,
        *,
        own: Collection[str],
        queue_id: int | None = None,
        of_task: bool = False,
    ) -> AsyncGenerator[HeadroomReservation]:
        """Reserve places for new callbacks while the block records them, or their task, and set the reservation's position.

        Extensions and the ``own`` numbers of the organisation have no quota, nor has the leg that is not the client's, where
        the queue names one. Raises InvalidFields, StorageUnavailable.
        """
        lines = [] if limit is None else await self._require(organization_id, called, limit, own, queue_id)
        self._add(lines, 1)
        reservation = HeadroomReservation()
        try:
            yield reservation
        finally:
            if reservation.position is None:
                self._add(lines, -1)
            elif lines:
                self._remember(reservation.position, lines, of_task=of_task)

    def free(self, organization_id: int, numbers: Iterable[str], position: int) -> None:
        """Subtract a callback to these numbers that waited until a log position cancelled it."""
        if not self._is_asked:
            return
        lines = {line_key(organization_id, number) for number in numbers}
        self._add(lines, -1)
        self._recorded.append((position, lines, -1))
        self._forget_until(0)

    async def _require(
        self,
        organization_id: int,
        called: Iterable[CalledNumber],
        limit: int,
        own: Collection[str],
        queue_id: int | None,
    ) -> list[int]:
        outside = [
            (one, line_key(organization_id, one.number))
            async for one in yielding(called, organization_id)
            if is_outside(one.number, own)
        ]
        if not outside:
            return []
        self._is_asked = True
        lines = {line for _, line in outside}
        freed = -min(self._unseen[line] for line in lines)  # beyond the limit, one may still be open for each
        count = await self._open_lines.count(lines, limit + max(0, freed), queue_id)
        self._note_scheduled(count)
        self._forget_until(count.position)
        # From here on nothing is awaited until the lines are reserved. A callback whose numbers are the same counts once.
        leg = count.client_leg
        fields = {(one.callback, line): one.field for one, line in outside if leg is None or one.leg is leg}
        lines = [line for _, line in fields]
        room = {
            line: limit - count.by_line.get(line, 0) - self._unseen.get(line, 0) - more
            for line, more in Counter(lines).items()
        }
        if any(left < 0 for left in room.values()):
            raise InvalidFields([*islice(_errors(fields, room, limit), ERRORS_MAX)])
        return lines

    def _remember(self, position: int, lines: Collection[int], *, of_task: bool) -> None:
        if of_task:
            self._tasks.append((position, lines))
        else:
            self._recorded.append((position, lines, 1))

    def _note_scheduled(self, count: OpenCount) -> None:
        """Note that the callbacks of tasks were scheduled: the timetable shows them when it has come so far."""
        while self._tasks and (self._tasks[0][0] <= count.tasks_position or len(self._unseen) > _UNSEEN_MAX):
            self._recorded.append((count.head, self._tasks.popleft()[1], 1))

    def _forget_until(self, position: int) -> None:
        """Forget what the timetable shows by now."""
        while self._recorded and (self._recorded[0][0] <= position or len(self._unseen) > _UNSEEN_MAX):
            _, lines, sign = self._recorded.popleft()
            self._add(lines, -sign)

    def _add(self, lines: Iterable[int], sign: int) -> None:
        for line in lines:
            self._unseen[line] += sign
            if not self._unseen[line]:
                del self._unseen[line]


def _errors(fields: Mapping[tuple[int, int], str], room: Mapping[int, int], limit: int) -> Iterator[InvalidField]:
    """Yield the fields that exceed the limit, those of the last callbacks to a number; ``room`` is negative by their number."""
    exceeding = {line: -left for line, left in room.items() if left < 0}
    to_come = Counter(line for _, line in fields if line in exceeding)
    message = f"{RULE}: At most {limit} callbacks to one number may be open: wait until one of them has ended"
    for (_, line), field in fields.items():
        if line in exceeding:
            if to_come[line] <= exceeding[line]:
                yield InvalidField(field, message, RULE)
            to_come[line] -= 1
