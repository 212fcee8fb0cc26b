"""What a projection is: tables that answer one question, folded from the log."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.event_log.reader import Wanted


class Table(msgspec.Struct, frozen=True):
    """A table of a projection, and the columns of the unique index that tells its rows apart."""

    name: str
    key: tuple[str, ...]


class Projection(Protocol):
    """Folds facts into tables of its own, which a rebuild swaps together."""

    @property
    def name(self) -> str:
        """Its checkpoint's name, never changed."""
        ...

    @property
    def wanted(self) -> Wanted:
        """Which facts it is about: those of streams whose names begin so, or of these topics. No others are passed to it."""
        ...

    @property
    def tables(self) -> Sequence[Table]:
        """Its tables, in the order in which its queries name them: a swap locks them in that order."""
        ...

    async def apply(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str) -> None:
        """Fold the events, which follow what was folded before, into the tables whose names end in ``suffix``.

        Facts that are folded already change nothing. Raises VersionGap when others are missing in between.
        """
        ...


class VersionGap(Exception):
    """A fact does not follow the last one of its stream that the projection has folded."""

    def __init__(self, event: Recorded[Any], folded: int) -> None:
        super().__init__(f"{event.stream}: version {event.version} comes after version {folded}")
