"""The database of a process or command: the one in the settings, or a local Postgres in a data folder."""

import asyncio
import atexit
import shutil
import tempfile
import time
from pathlib import Path

import structlog

from application.errors import StorageUnavailable
from application.ports.operations import InvalidDsn
from infrastructure import local_postgres
from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from infrastructure.postgres.probe import probe_server, wait_until_lost
from interfaces.config.settings import BadSetting, Settings, from_environment

_PATIENCE_S = 60.0
_PAUSE_S = 1.0
_RESTART_PAUSE_S = 0.1

_log = structlog.get_logger("perezvon")


class NoDatabase(Exception):
    """No database is named by the settings, and none runs in the data folder."""

    code = "no_database"


def owner_address(data_dir: Path | None) -> str:
    """Return the address of the database for its owner, after a successful connection.

    ``PEREZVON_DATABASE_URL`` always wins. Otherwise it is the running server of the data folder, which by default is the
    user's own. Raises NoDatabase, BadSetting, LocalPostgresError, StorageUnavailable, ServerTooOld.
    """
    if url := from_environment().database_url:
        return _probed(url)
    home = data_dir or local_postgres.default_home()
    if (dsn := local_postgres.running(home)) is None:
        raise NoDatabase(
            f"No database runs in {home}. Start one with `perezvon up`, name its folder with --data-dir,"
            " or set PEREZVON_DATABASE_URL."
        )
    return _probed(dsn)


def service_address(data_dir: Path | None) -> str:
    """Return the address of the database for the service's role. Raises as ``owner_address`` does, and SchemaTooOld."""
    return service_dsn(owner_address(data_dir))


def wait_for_service_address(data_dir: Path | None) -> str:
    """Return ``service_address``; wait up to 60 s for a database that is still starting."""
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return service_address(data_dir)
        except StorageUnavailable as error:
            if time.monotonic() > give_up:
                raise
            _log.warning("database unavailable, retrying", error=str(error), pause_s=_PAUSE_S)
        time.sleep(_PAUSE_S)


def migrate_database(data_dir: Path | None) -> list[str]:
    """Apply the pending migrations as the owner; return their names. Raises as ``owner_address`` does."""
    return migrate(owner_address(data_dir))


class DatabaseHome:
    """The database of ``perezvon up``: the one that the settings name, or a local Postgres in a folder."""

    def __init__(self, settings: Settings, data_dir: Path | None, *, temporary: bool) -> None:
        """Use ``data_dir``, else a new folder that is removed at exit (``temporary``), else the user's own folder."""
        default = _temporary_folder if temporary else local_postgres.default_home
        self.folder = None if settings.database_url else data_dir or default()
        self.dsn = settings.database_url or ""

    def prepare(self) -> None:
        """Start or join the local Postgres, and apply the pending migrations.

        Raises LocalPostgresError, BadSetting, StorageUnavailable, ServerTooOld.
        """
        if self.folder:
            self.dsn = local_postgres.start(self.folder)
        for name in migrate(_probed(self.dsn)):
            _log.info("migration applied", migration=name)

    def service_dsn(self) -> str:
        """Return the address for the service's role. Raises SchemaTooOld."""
        return service_dsn(self.dsn)

    async def keep_server(self) -> None:
        """Restart the local Postgres whenever it is lost. Raises LocalPostgresError when that fails."""
        while self.folder:
            await wait_until_lost(self.dsn)
            _log.warning("local Postgres lost, restarting")
            await asyncio.to_thread(local_postgres.start, self.folder)
            await asyncio.sleep(_RESTART_PAUSE_S)

    def arguments(self, *words: str) -> tuple[str, ...]:
        """Return the arguments with which ``perezvon`` works on this database."""
        return (*words, "--data-dir", str(self.folder)) if self.folder else words


def _probed(dsn: str) -> str:
    try:
        probe_server(dsn)
    except InvalidDsn as error:
        raise BadSetting(f"PEREZVON_DATABASE_URL: {error}") from error
    return dsn


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="perezvon-demo-"))
    # Handlers run in reverse order of registration: Postgres, registered later, stops before its folder goes.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
