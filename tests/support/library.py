"""The ``eventsourcing`` library on a test's database."""

from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from infrastructure.postgres.sql import SCHEMA


def library_variables(dsn: str) -> dict[str, str]:
    """Return the variables with which an application of the library opens perezvon's log: no schema, no table."""
    address = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "infrastructure.event_log",
        "ORIGINATOR_ID_TYPE": "text",
        "POSTGRES_DBNAME": str(address["dbname"]),
        "POSTGRES_HOST": str(address.get("host", "")),
        "POSTGRES_PORT": str(address.get("port", 5432)),
        "POSTGRES_USER": str(address.get("user", "")),
        "POSTGRES_PASSWORD": str(address.get("password", "")),
    }


def library_datastore(dsn: str, *, schema: str = SCHEMA, enable_db_functions: bool = False) -> PostgresDatastore:
    """Return a datastore of the library on that database; the caller closes it."""
    address = conninfo_to_dict(dsn)
    return PostgresDatastore(
        dbname=str(address["dbname"]),
        host=str(address.get("host", "")),
        port=str(address.get("port", 5432)),
        user=str(address.get("user", "")),
        password=str(address.get("password", "")),
        schema=schema,
        originator_id_type="text",
        enable_db_functions=enable_db_functions,
        pool_size=5,
        max_overflow=15,
    )
