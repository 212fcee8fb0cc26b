"""The ``eventsourcing`` library on a test's database."""

from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from infrastructure.postgres.sql import SCHEMA


def library_variables(dsn: str) -> dict[str, str]:
    """The variables by which an application of the library opens perezvon's log: no schema, no table."""
    told = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "infrastructure.event_log",
        "ORIGINATOR_ID_TYPE": "text",
        "POSTGRES_DBNAME": str(told["dbname"]),
        "POSTGRES_HOST": str(told.get("host", "")),
        "POSTGRES_PORT": str(told.get("port", 5432)),
        "POSTGRES_USER": str(told.get("user", "")),
        "POSTGRES_PASSWORD": str(told.get("password", "")),
    }


def library_datastore(dsn: str, *, schema: str = SCHEMA, enable_db_functions: bool = False) -> PostgresDatastore:
    """A datastore of the library on that database; the caller closes it."""
    told = conninfo_to_dict(dsn)
    return PostgresDatastore(
        dbname=str(told["dbname"]),
        host=str(told.get("host", "")),
        port=str(told.get("port", 5432)),
        user=str(told.get("user", "")),
        password=str(told.get("password", "")),
        schema=schema,
        originator_id_type="text",
        enable_db_functions=enable_db_functions,
        pool_size=5,
        max_overflow=15,
    )
