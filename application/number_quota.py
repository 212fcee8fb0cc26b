"""Quota of open callbacks to one number: those that wait, ring or talk."""

from collections import Counter, deque
from collections.abc import AsyncGenerator, Collection, Container, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from application.cooperative import yielding
from application.errors import ERRORS_MAX, InvalidFields
from application.phone_line_key import line_key
from application.phones import split_extension
from domain.callback.events import Leg
from domain.errors import InvalidField

RULE = "open_per_number"
_UNSEEN_MAX = 100_000


class OpenCount(msgspec.Struct, frozen=True):
    """Open callbacks by line, as of a log position; ``client_leg`` is the leg of the client in the queue, if it names one."""

    by_line: Mapping[int, int]
    position: int
    client_leg: Leg | None = None


class OpenLines(Protocol):
    """Callbacks that are not finished, or whose call runs, by the lines of their numbers."""

    async def count(self, lines: Collection[int], at_most: int, queue_id: int | None = None) -> OpenCount:
        """Return how many open callbacks have each line on either leg, counted up to ``at_most``.

        Raises StorageUnavailable.
        """
        ...


class CalledNumber(msgspec.Struct, frozen=True):
    """A number of a new callback, and the field that contains it."""

    field: str
    leg: Leg
    number: str


class Reservation:
    """Lines that a request adds to the open ones; ``position`` is where the log holds its callbacks, once they are recorded."""

    def __init__(self, lines: Collection[int]) -> None:
        """Hold the lines."""
        self.lines = lines
        self.position: int | None = None


def is_outside(number: str, own: Container[str]) -> bool:
    """Return whether the number is of the public network, and none of the organisation's ``own`` caller ids."""
    return number.startswith("+") and split_extension(number)[0] not in own


class NumberQuota:
    """Refuses callbacks to numbers to which too many are open.

    The count is as old as the timetable. What this process has recorded since is added to it; what several processes record
    at the same moment is not.
    """

    def __init__(self, open_lines: OpenLines) -> None:
        """Count in ``open_lines``."""
        self._open_lines = open_lines
        self._unseen = Counter[int]()
        self._recorded: deque[tuple[int, Collection[int]]] = deque()

    @asynccontextmanager
    async def reserve(
        self,
        organization_id: int,
        called: Iterable[CalledNumber],
        limit: int | None,
        *,
        own: Collection[str],
        queue_id: int | None = None,
    ) -> AsyncGenerator[Reservation]:
        """Reserve places for new callbacks while the block records them, and set the reservation's position.

        Extensions and the ``own`` numbers of the organisation have no quota, nor has the leg that is not the client's, where
        the queue names one. Raises InvalidFields, StorageUnavailable.
        """
        lines = [] if limit is None else await self._require(organization_id, called, limit, own, queue_id)
        self._unseen.update(lines)
        reservation = Reservation(lines)
        try:
            yield reservation
        finally:
            if reservation.position is None:
                self._forget(lines)
            elif lines:
                self._recorded.append((reservation.position, lines))

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
        count = await self._open_lines.count({line for _, line in outside}, limit, queue_id)
        self._forget_until(count.position)
        if count.client_leg is not None:
            outside = [(one, line) for one, line in outside if one.leg is count.client_leg]
        found = Counter[int]()
        errors: list[InvalidField] = []
        for one, line in outside:
            found[line] += 1
            if count.by_line.get(line, 0) + self._unseen[line] + found[line] > limit:
                message = (
                    f"{RULE}: At most {limit} callbacks to one number may be open: wait until one of them has ended"
                )
                errors.append(InvalidField(one.field, message, RULE))
        if errors:
            raise InvalidFields(errors[:ERRORS_MAX])
        return [line for _, line in outside]

    def _forget_until(self, position: int) -> None:
        """Forget what the timetable shows by now."""
        while self._recorded and (self._recorded[0][0] <= position or len(self._unseen) > _UNSEEN_MAX):
            self._forget(self._recorded.popleft()[1])

    def _forget(self, lines: Iterable[int]) -> None:
        self._unseen.subtract(lines)
        for line in lines:
            if self._unseen[line] <= 0:
                del self._unseen[line]
