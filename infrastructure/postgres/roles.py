"""Roles of the database: the owner's login, and the service's, which owns nothing and may do little by itself.

A session keeps the rights of the user that logged in: ``SET ROLE NONE`` returns to that user. So the service logs in as a
role of its own, and its processes refuse a login with the rights of the owner or of a superuser.
"""

import psycopg
from psycopg import Connection

from application.ports.operations import ServiceLoginMissing
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA, quoted

APP_ROLE = "perezvon_app"
SUPERUSER = "is a superuser"

# Tables that the service reads, and that only functions of the owner write.
_READ_ONLY = (
    "migrations",
    "log_identity",
    "log_json",
    "snapshots",
)
_APPEND_ONLY_LOGS = """
    SELECT c.relname
    FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE t.tgname = 'append_only' AND c.relnamespace = %s::regnamespace
"""  # ours, and those of other applications
_CAN_LOG_IN = "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s"
_EXCESS = f"""
    SELECT CASE
        WHEN r.rolsuper THEN '{SUPERUSER}'
        WHEN pg_has_role(r.oid, c.relowner, 'MEMBER') THEN 'has the rights of the owner of the event log'
    END
    FROM pg_roles AS r, pg_class AS c
    WHERE r.rolname = session_user AND c.oid = to_regclass(%s)
"""


def excess_of(connection: Connection) -> str | None:
    """Return which rights the session's login has that the service must not have; None if it has none of them.

    The schema must exist.
    """
    row = connection.execute(_EXCESS, (quoted(SCHEMA, LOG_TABLE),)).fetchone()
    return row[0] if row else None


def ensure_service_login(connection: Connection, password: str | None = None) -> None:
    """Create the service's login unless it exists. Raises ServiceLoginMissing if the owner may not create roles."""
    row = connection.execute(_CAN_LOG_IN, (APP_ROLE,)).fetchone()
    if row == (True,):
        return
    try:
        set_up_service_login(connection, password)
    except psycopg.errors.InsufficientPrivilege:
        verb = "ALTER" if row else "CREATE"
        raise ServiceLoginMissing(
            f"The service needs a login of its own, which {connection.info.user} may not create. As a superuser, run\n"
            f"  {verb} ROLE {APP_ROLE} LOGIN PASSWORD '<a new password>';\n"
            "on this server, then run `perezvon migrate` again, and name that login in PEREZVON_DATABASE_URL"
        ) from None


def set_up_service_login(connection: Connection, password: str | None = None) -> None:
    """Create the service's login, or change its password. Raises InsufficientPrivilege.

    The server receives, and logs, only a hash of the password.
    """
    secret = ""
    if password is not None:
        hashed = connection.pgconn.encrypt_password(password.encode(), APP_ROLE.encode(), None).decode()
        secret = f" PASSWORD '{hashed}'"
    with connection.transaction():
        if connection.execute(_CAN_LOG_IN, (APP_ROLE,)).fetchone() is None:
            connection.execute(f"CREATE ROLE {APP_ROLE} LOGIN{secret}".encode())
        else:
            connection.execute(f"ALTER ROLE {APP_ROLE} LOGIN{secret}".encode())


def grant_to_service(connection: Connection) -> None:
    """Grant the service's login what it needs and no more: events are appended through the log's function alone."""
    schema = quoted(SCHEMA)
    append = quoted(SCHEMA, LOG_TABLE + "_append")
    read_only = ", ".join(quoted(SCHEMA, table) for table in _READ_ONLY)
    logs = [log for (log,) in connection.execute(_APPEND_ONLY_LOGS, (SCHEMA,)).fetchall()]
    grants = [
        f"GRANT USAGE ON SCHEMA {schema} TO {APP_ROLE}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {APP_ROLE}",
        f"REVOKE INSERT, UPDATE, DELETE ON {read_only} FROM {APP_ROLE}",
        f"REVOKE INSERT, UPDATE ON {quoted(SCHEMA, LOG_TABLE + '_claims')} FROM {APP_ROLE}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {APP_ROLE}",
        f"GRANT EXECUTE ON FUNCTION {append} TO {APP_ROLE}",
        f"GRANT EXECUTE ON FUNCTION {schema}.snapshots_add TO {APP_ROLE}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"REVOKE TEMPORARY ON DATABASE {quoted(connection.info.dbname)} FROM PUBLIC",
        *(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {quoted(SCHEMA, log)} FROM {APP_ROLE}" for log in logs),
    ]
    with connection.transaction():  # the service never has more, not even for a moment
        for grant in grants:
            connection.execute(grant.encode())
