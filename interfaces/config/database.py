"""Which database a command is meant for, and how long to wait for it."""

import time
from pathlib import Path

import structlog

from application.errors import StorageUnavailable
from interfaces.bootstrap.services import BadAddress, default_home, reach, running_server, service_dsn
from interfaces.config.settings import BadSetting, from_environment

_PATIENCE_S = 60.0
_PAUSE_S = 1.0

_log = structlog.get_logger("perezvon")


class NoDatabase(Exception):
    """No database was named, and none runs where one would be looked for."""

    code = "no_database"


def owner_address(data_dir: Path | None) -> str:
    """Answer the address of the database for its owner, once somebody has answered there.

    ``PEREZVON_DATABASE_URL`` always wins; else it is the running server of the data folder, the user's own
    folder if none is given. Raises NoDatabase, BadSetting, LocalPostgresError, StorageUnavailable, ServerTooOld.
    """
    if url := from_environment().database_url:
        return checked(url)
    home = data_dir or default_home()
    if (dsn := running_server(home)) is None:
        raise NoDatabase(
            f"No database runs in {home}. Start one with `perezvon up`, name its folder with --data-dir,"
            " or set PEREZVON_DATABASE_URL."
        )
    return checked(dsn)


def checked(dsn: str) -> str:
    """Answer the address itself, once somebody has answered there. Raises BadSetting, StorageUnavailable, ServerTooOld."""
    try:
        reach(dsn)
    except BadAddress as error:
        raise BadSetting(f"PEREZVON_DATABASE_URL: {error}") from error
    return dsn


def service_address(data_dir: Path | None) -> str:
    """Answer the database's address for the service's role. Raises what ``owner_address`` does, and SchemaTooOld."""
    return service_dsn(owner_address(data_dir))


def reached(data_dir: Path | None) -> str:
    """Answer what ``service_address`` does, but wait up to a minute for a database that is still starting."""
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return service_address(data_dir)
        except StorageUnavailable as error:
            if time.monotonic() > give_up:
                raise
            _log.warning("the database is away, trying again", error=str(error))
        time.sleep(_PAUSE_S)
