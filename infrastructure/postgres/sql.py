"""SQL texts with the names of our schema, of the log and of a projection's tables filled in."""

from importlib.resources import files

from psycopg import sql

SCHEMA = "perezvon_1"
LOG_TABLE = "stored_events"


def quoted(*names: str) -> str:
    """Return a name, qualified if there are several parts, as it is written in SQL."""
    return sql.Identifier(*names).as_string(None)


_schema = quoted(SCHEMA)
_log = quoted(SCHEMA, LOG_TABLE)


def statement(text: str, suffix: str = "") -> bytes:
    """Return the text with ``{schema}``, ``{log}`` and ``{suffix}`` filled in.

    ``suffix`` ends the names of a projection's tables: empty for the live ones, ``__new`` for those that a rebuild fills.
    """
    return text.replace("{schema}", _schema).replace("{log}", _log).replace("{suffix}", suffix).encode()


def load_statement(module: str, name: str) -> bytes:
    """Return the statement in the file ``name`` beside a module, with the names filled in. Call it at import."""
    return statement(files(module.rpartition(".")[0]).joinpath(name).read_text(encoding="utf-8"))
