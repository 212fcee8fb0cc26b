"""The database of a process or command: the one in the settings, or a local Postgres in a data folder."""

import asyncio
import atexit
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from pwd import struct_passwd

import structlog

from application.errors import StorageUnavailable
from application.ports.operations import InvalidDsn, OwnerLogin
from infrastructure import local_postgres
from infrastructure.postgres.connections import API_CONNECTIONS, WORKER_CONNECTIONS, service_dsn
from infrastructure.postgres.migrations import migrate
from infrastructure.postgres.probe import connections_left, examine_login, probe_server, wait_until_lost
from infrastructure.postgres.roles import SUPERUSER
from infrastructure.postgres.service_login import log_in_as_service, password_of_service
from interfaces.config.kept_key import keep_key, kept_key
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

    It is ``PEREZVON_OWNER_URL``, else a lone ``PEREZVON_DATABASE_URL``, else the running server of the data folder, which by
    default is the user's own. Raises NoDatabase, BadSetting, LocalPostgresError, StorageUnavailable, ServerTooOld,
    UnsuitableDatabase.
    """
    settings = from_environment()
    if settings.owner_url:
        return _probed(settings.owner_url, "PEREZVON_OWNER_URL")
    return _probed(settings.database_url or _running(data_dir))


def service_address(data_dir: Path | None) -> str:
    """Return the address of the database for the service's login, for a command that ends by itself.

    A lone ``PEREZVON_DATABASE_URL`` may be the owner's: then the service's login is created if it is missing. Raises as
    ``owner_address`` does, SchemaTooOld, ServiceLoginMissing.
    """
    settings = from_environment()
    if settings.database_url and settings.owner_url:
        return _of_service(_probed(settings.database_url))
    url = settings.owner_url or settings.database_url
    if url is None:
        return _of_service(service_dsn(_running(data_dir)))
    if examine_login(_probed(url)) is None or settings.allow_owner:
        return url
    return _of_service(log_in_as_service(url, data_dir or local_postgres.default_home(), renew=False))


def address_to_examine(data_dir: Path | None) -> str:
    """Return the address that the processes of the service use; its login is not checked. Raises as ``owner_address`` does."""
    settings = from_environment()
    return _probed(settings.database_url or settings.owner_url or service_dsn(_running(data_dir)))


def api_address(data_dir: Path | None) -> str:
    """Return the address of the database for the API; see ``_address_for``."""
    return _address_for(data_dir, API_CONNECTIONS)


def worker_address(data_dir: Path | None) -> str:
    """Return the address of the database for a worker; see ``_address_for``."""
    return _address_for(data_dir, WORKER_CONNECTIONS)


def _address_for(data_dir: Path | None, connections: int) -> str:
    """Return the address of the database for a process of the service; wait up to 60 s for one that is still starting.

    Logs a warning if fewer ``connections`` are left than the process may need: it opens them when it needs them.
    Raises as ``service_address`` does, and OwnerLogin if ``PEREZVON_DATABASE_URL`` has more rights than the service needs.
    """
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _process_address(data_dir, from_environment(), connections)
        except StorageUnavailable as error:
            if time.monotonic() > give_up:
                raise
            _log.warning("database unavailable, retrying", error=str(error), pause_s=_PAUSE_S)
        time.sleep(_PAUSE_S)


def _process_address(data_dir: Path | None, settings: Settings, connections: int) -> str:
    url = _probed(settings.database_url) if settings.database_url else service_dsn(_running(data_dir))
    if excess := examine_login(url):
        if not settings.allow_owner:
            raise OwnerLogin(
                f"The login of PEREZVON_DATABASE_URL {excess}, so nothing protects the event log from this process. Name the"
                " service's login, perezvon_app, and keep the owner's in PEREZVON_OWNER_URL (docs/operations.md)"
            )
        _log.warning("event log unprotected: the service has the rights of its owner", login=excess)
    if (left := connections_left(url)) < connections:
        _log.warning("too few connections left", left=left, needed=connections, advice="docs/operations.md")
    return url


def key_of_folder(data_dir: Path | None) -> str | None:
    """Return the key of webhook secrets that `up` keeps in its data folder, None if it keeps none there."""
    return kept_key(data_dir or local_postgres.default_home())


def migrate_database(data_dir: Path | None) -> list[str]:
    """Apply the pending migrations as the owner; return their names.

    If the service's login is missing it is created, with the password of ``PEREZVON_DATABASE_URL`` if that names it. Raises
    as ``owner_address`` does, and ServiceLoginMissing.
    """
    return _migrated(owner_address(data_dir), from_environment().database_url)


class DatabaseHome:
    """The database of ``perezvon up``: the one that the settings name, or a local Postgres in a folder."""

    def __init__(self, settings: Settings, data_dir: Path | None, *, temporary: bool) -> None:
        """Use ``data_dir``, else a new folder that is removed at exit (``temporary``), else the user's own folder."""
        self._url = settings.owner_url or settings.database_url
        self._service_url = settings.database_url if settings.owner_url else None
        self._secrets_key = settings.secrets_key
        default = _temporary_folder if temporary and not self._url else local_postgres.default_home
        self._folder = data_dir or default()
        self.dsn = self.service_dsn = ""

    def prepare(self) -> None:
        """Start or join the local Postgres, apply the pending migrations, and prepare the service's login.

        Raises LocalPostgresError, BadSetting, StorageUnavailable, ServerTooOld, ServiceLoginMissing.
        """
        owner = self.dsn = _probed(self._url) if self._url else local_postgres.start(self._folder)
        for name in _migrated(owner, self._service_url):
            _log.info("migration applied", migration=name)
        if self._service_url:
            self.service_dsn = _probed(self._service_url)
        elif self._url:
            self.service_dsn = log_in_as_service(owner, self._folder, renew=True)
        else:
            self.service_dsn = service_dsn(owner)

    @property
    def server_user(self) -> struct_passwd | None:
        """The user that runs the local Postgres, if this process is root and starts one. Raises LocalPostgresError."""
        return None if self._url else local_postgres.server_user(self._folder)

    async def keep_server(self) -> None:
        """Restart the local Postgres whenever it is lost. Raises LocalPostgresError when that fails."""
        while not self._url:
            await wait_until_lost(self.dsn)
            _log.warning("local Postgres lost, restarting")
            await asyncio.to_thread(local_postgres.start, self._folder)
            await asyncio.sleep(_RESTART_PAUSE_S)

    def arguments(self, *words: str) -> tuple[str, ...]:
        """Return the arguments with which ``perezvon`` works on this database."""
        return words if self._url else (*words, "--data-dir", str(self._folder))

    def environment(self) -> Mapping[str, str]:
        """Return the variables with which it works there with the service's login alone."""
        return {
            "PEREZVON_DATABASE_URL": self.service_dsn if self._url else "",
            "PEREZVON_OWNER_URL": "",
            "PEREZVON_SECRETS_KEY": self._secrets_key or keep_key(self._folder),
        }


def _running(data_dir: Path | None) -> str:
    home = data_dir or local_postgres.default_home()
    if (dsn := local_postgres.running(home)) is None:
        raise NoDatabase(
            f"No database runs in {home}. Start one with `perezvon up`, name its folder with --data-dir,"
            " or set PEREZVON_DATABASE_URL."
        )
    return dsn


def _migrated(owner: str, service_url: str | None) -> list[str]:
    names = migrate(owner, password_of_service(service_url) if service_url else None)
    if examine_login(owner) == SUPERUSER:
        _log.warning("the event log belongs to a superuser, who is not needed", advice="docs/operations.md")
    return names


def _of_service(dsn: str) -> str:
    examine_login(dsn)  # raises SchemaTooOld
    return dsn


def _probed(dsn: str, variable: str = "PEREZVON_DATABASE_URL") -> str:
    try:
        probe_server(dsn)
    except InvalidDsn as error:
        raise BadSetting(f"{variable}: {error}") from error
    return dsn


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="perezvon-demo-"))
    # Handlers run in reverse order of registration: Postgres, registered later, stops before its folder goes.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
