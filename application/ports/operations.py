"""Reports and errors of operating a deployment: local Postgres, migrations, rebuilds, retries of parked streams."""

from collections.abc import Callable

import msgspec

RebuildProgress = Callable[[int, int], None]
"""Receives the log position that a rebuild has reached, and the position at which it will end."""


class InvalidDsn(ValueError):
    """The text is not a connection string of Postgres. The message does not repeat it: it may contain a password."""


class ServerTooOld(Exception):
    """The server is older than the oldest supported version of Postgres."""


class UnsuitableDatabase(Exception):
    """The service cannot keep its promises on this database; the text says why, and what to do."""

    code = "unsuitable_database"


class SchemaTooOld(Exception):
    """The database's schema is older than this program; ``perezvon migrate`` updates it."""


class ServiceLoginMissing(Exception):
    """The service has no login of its own, and this one may not create it; the text has the statements that do."""


class OwnerLogin(Exception):
    """A process of the service would run with the rights of the log's owner, or of a superuser."""


class LocalPostgresError(Exception):
    """No Postgres can run here; the text says why, and what to install or set."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between a rebuilt table and the live one: ``missing`` rows are live only, ``extra`` rows rebuilt only."""

    table: str
    differing: int
    missing: int
    extra: int


class RebuildUnderWay(Exception):
    """Another process is rebuilding this view."""


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a rebuild, which applied ``events`` up to ``position`` of the log in ``seconds``.

    ``swapped``: the view is now the rebuilt one. Differences prevent that unless they were accepted.
    """

    name: str
    position: int
    events: int
    seconds: float
    parked: int
    differences: list[Difference]
    swapped: bool

    @property
    def differs(self) -> bool:
        """Return whether the rebuilt view differs from the live one."""
        return any(found.differing or found.missing or found.extra for found in self.differences)


class StillParked(msgspec.Struct, frozen=True):
    """A stream whose retry failed and which stays parked, with the error."""

    stream: str
    error: str


class RetryReport(msgspec.Struct, frozen=True):
    """The result of retrying the parked streams of a projection or policy."""

    name: str
    brought_in: list[str]
    still_parked: list[StillParked]
