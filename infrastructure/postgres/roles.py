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
    "organizations",
    "members",
    "operators",
    "tokens",
)
_APPEND_ONLY_LOGS = """
    SELECT c.relname
    FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE t.tgname = 'append_only' AND c.relnamespace = %s::regnamespace
"""  # ours, and those of other applications
# With the tables that a rebuild fills, or has replaced.
_NAMED = """
    SELECT relname
    FROM pg_class
    WHERE relnamespace = %s::regnamespace
        AND relkind IN ('r', 'v')
        AND regexp_replace(relname, '__(new|old)$', '') = ANY(%s)
"""
_CAN_LOG_IN = "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s"
EXCESS = f"""
    SELECT CASE
        WHEN r.rolsuper THEN '{SUPERUSER}'
        WHEN pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER') OR pg_catalog.pg_has_role(r.oid, n.nspowner, 'MEMBER')
            THEN 'has the rights of the owner of the event log'
        WHEN pg_catalog.pg_has_role(r.oid, d.datdba, 'MEMBER') THEN 'has the rights of the owner of the database'
        WHEN EXISTS (
            SELECT
            FROM pg_catalog.pg_roles AS s
            WHERE (s.rolsuper OR s.rolname IN ('pg_execute_server_program', 'pg_write_server_files'))
                AND pg_catalog.pg_has_role(r.oid, s.oid, 'MEMBER')
        ) OR r.rolcreaterole AND pg_catalog.current_setting('server_version_num')::int < 160000
            THEN 'may become a superuser'
    END
    FROM pg_catalog.pg_roles AS r
    JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
    LEFT JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass('{quoted(SCHEMA, LOG_TABLE)}')
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE r.rolname = session_user
"""
"""Query of which rights the session's login has that the service must not have; null if it has none of them."""

_PRIVILEGES = """
    WITH service AS (SELECT * FROM pg_roles WHERE rolname = %(role)s OR rolname = %(login)s)
    SELECT a.text
    FROM service AS r, LATERAL (
        VALUES (r.rolsuper, 'SUPERUSER'), (r.rolcreaterole, 'CREATEROLE'), (r.rolcreatedb, 'CREATEDB'),
            (r.rolreplication, 'REPLICATION'), (r.rolbypassrls, 'BYPASSRLS')
    ) AS a(has, text)
    WHERE a.has
    UNION ALL
    SELECT 'the role ' || m.roleid::regrole
    FROM service AS r
    JOIN pg_auth_members AS m ON m.member = r.oid
    WHERE m.roleid NOT IN (SELECT oid FROM service) -- a second login is a member of the first
    UNION ALL
    SELECT 'writing to ' || c.relname
    FROM service AS r, pg_class AS c
    WHERE c.relnamespace = %(schema)s::text::regnamespace
        AND regexp_replace(c.relname, '__(new|old)$', '') = ANY(%(tables)s)
        AND (has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')
            OR has_any_column_privilege(r.oid, c.oid, 'INSERT, UPDATE'))
    UNION ALL
    SELECT 'the table ' || c.relname
    FROM service AS r, pg_class AS c
    WHERE c.relnamespace = %(schema)s::text::regnamespace AND c.relname LIKE '%%\\_door'
        AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
    UNION ALL
    SELECT 'owning ' || c.relname
    FROM service AS r JOIN pg_class AS c ON c.relowner = r.oid
    WHERE c.relnamespace = %(schema)s::text::regnamespace
    UNION ALL
    SELECT 'owning ' || p.proname
    FROM service AS r JOIN pg_proc AS p ON p.proowner = r.oid
    WHERE p.pronamespace = %(schema)s::text::regnamespace
    UNION ALL
    SELECT 'creating schemas' FROM service AS r WHERE has_database_privilege(r.oid, current_database(), 'CREATE')
    UNION ALL
    SELECT 'creating objects in ' || n.nspname
    FROM service AS r, pg_namespace AS n
    WHERE n.nspname IN (%(schema)s::text, 'public') AND has_schema_privilege(r.oid, n.oid, 'CREATE')
"""


def excess_of(connection: Connection) -> str | None:
    """Return which rights the session's login has that the service must not have; None if it has none of them."""
    row = connection.execute(EXCESS.encode()).fetchone()
    return row[0] if row else None


def excess_privileges(connection: Connection) -> list[str]:
    """Return what the service's role may do or is, beyond its needs; a short text for each.

    So also for the session's login, unless that has the rights of the owner or of a superuser, which ``excess_of`` names.
    """
    login = APP_ROLE if excess_of(connection) else connection.info.user
    values = {"role": APP_ROLE, "login": login, "schema": SCHEMA, "tables": [*_READ_ONLY, LOG_TABLE]}
    return list(dict.fromkeys(text for (text,) in connection.execute(_PRIVILEGES, values).fetchall()))


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
    named = connection.execute(_NAMED, (SCHEMA, [*_READ_ONLY])).fetchall()
    read_only = ", ".join(quoted(SCHEMA, table) for (table,) in named)
    logs = [log for (log,) in connection.execute(_APPEND_ONLY_LOGS, (SCHEMA,)).fetchall()]
    grants = [
        f"GRANT USAGE ON SCHEMA {schema} TO {APP_ROLE}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {APP_ROLE}",
        f"REVOKE INSERT, UPDATE, DELETE ON {read_only} FROM {APP_ROLE}",
        f"REVOKE INSERT, UPDATE ON {quoted(SCHEMA, LOG_TABLE + '_claims')} FROM {APP_ROLE}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {APP_ROLE}",
        f"GRANT EXECUTE ON FUNCTION {append}, {schema}.record_access, {schema}.snapshots_add TO {APP_ROLE}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"REVOKE TEMPORARY ON DATABASE {quoted(connection.info.dbname)} FROM PUBLIC",
        *(f"REVOKE ALL ON {quoted(SCHEMA, log + '_door')} FROM {APP_ROLE}" for log in logs),
        *(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {quoted(SCHEMA, log)} FROM {APP_ROLE}" for log in logs),
    ]
    with connection.transaction():  # the service never has more, not even for a moment
        for grant in grants:
            connection.execute(grant.encode())
