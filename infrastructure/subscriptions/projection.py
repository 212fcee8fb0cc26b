"""Projections: handlers that fold the log into tables, each to answer one question."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.subscriptions.handler import Handler


class Table(msgspec.Struct, frozen=True):
    """A table of a projection, and the columns of the unique index that identifies its rows."""

    name: str
    key: tuple[str, ...]


class Projection(Handler, Protocol):
    """A handler that folds facts into tables of its own, which a rebuild swaps together."""

    @property
    def tables(self) -> Sequence[Table]:
        """Its tables, in the order in which its queries name them: a swap locks them in that order."""
        ...

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str = "") -> None:
        """Fold the events, which follow those folded before, into the tables whose names end in ``suffix``.

        Facts that are folded already change nothing. Raises VersionGap when facts are missing in between.
        """
        ...


class VersionGap(Exception):
    """A fact does not follow the last fact of its stream that the projection has folded."""

    def __init__(self, event: Recorded[Any], folded: int) -> None:
        super().__init__(
            f"{event.stream}: version {event.version} follows version {folded}; versions between are missing"
        )
