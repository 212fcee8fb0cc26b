"""The service's login where only the owner's is known: its password is random, and kept in the data folder."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from application.errors import StorageUnavailable
from application.ports.operations import ServiceLoginMissing
from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.roles import APP_ROLE, set_up_service_login
from infrastructure.postgres.sessions import BATCH, REQUEST, open_blocking_connection

_PASSWORD_BYTES = 24
_LOCK = "SELECT pg_advisory_lock(%s)"  # held until the connection is closed
_LOGINS = 0x7065_7273  # "pers": one process at a time sets the password and stores it
_IS_USED = "SELECT 1 FROM pg_stat_activity WHERE usename = %s"


def log_in_as_service(owner: str, folder: Path, *, renew: bool) -> str:
    """Return the connection string of the service's login, after a successful connection with it.

    Args:
        owner: the connection string of the owner, who must be able to create roles unless the server asks for no password.
        folder: where the password is kept, in a file that only this user can read.
        renew: set a new password if the owner may, even if the present one works.

    Raises:
        ServiceLoginMissing: no password is known, and none may be set: the owner lacks the right, or processes use the
            login and ``renew`` is not set.
    """
    with open_blocking_connection(owner, BATCH, "start") as connection:
        user = connection.info.user
        connection.execute(_LOCK, (_LOGINS,))
        # A login holds for all databases of a server.
        server = sha256(f"{connection.info.host}:{connection.info.port}".encode()).hexdigest()[:12]
        file = folder / f"service-password-{server}"
        known = file.read_text() if file.exists() else None
        dsn = None if renew else _working(owner, known)
        if dsn is None and (renew or not connection.execute(_IS_USED, (APP_ROLE,)).fetchone()):
            dsn = _with_new_password(connection, owner, file) or _working(owner, known)
    if dsn is None:
        raise ServiceLoginMissing(
            f"The password of the login {APP_ROLE} is not in {folder}, and it cannot be changed now: processes use it, or"
            f" {user} may not. Name that login in PEREZVON_DATABASE_URL, and the owner's in"
            " PEREZVON_OWNER_URL"
        )
    return dsn


def password_of_service(dsn: str) -> str | None:
    """Return the password in the connection string if it is for the service's login."""
    given = conninfo_to_dict(dsn)
    password = given.get("password")
    return str(password) if given.get("user") == APP_ROLE and password else None


def _with_new_password(connection: Connection, owner: str, file: Path) -> str | None:
    password = token_urlsafe(_PASSWORD_BYTES)
    try:
        set_up_service_login(connection, password)
    except psycopg.errors.InsufficientPrivilege:
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(password)
    return service_dsn(owner, password)


def _working(owner: str, password: str | None) -> str | None:
    dsn = service_dsn(owner, password)
    with suppress(StorageUnavailable), open_blocking_connection(dsn, REQUEST, "start"):
        return dsn
    return None
