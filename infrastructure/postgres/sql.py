"""SQL texts with names in them."""

from psycopg import sql

from infrastructure.postgres.connections import LOG_TABLE, SCHEMA

_schema = sql.Identifier(SCHEMA).as_string(None)
_log = sql.Identifier(SCHEMA, LOG_TABLE).as_string(None)


def statement(text: str, suffix: str = "") -> bytes:
    """Answer the text with ``{schema}``, ``{log}`` and ``{suffix}`` filled in.

    ``suffix`` ends the names of a projection's tables: empty for the live ones, ``__new`` while a rebuild makes others.
    """
    return text.replace("{schema}", _schema).replace("{log}", _log).replace("{suffix}", suffix).encode()
