"""Errors of Postgres, sorted by what the client should do (docs/adr/0014-connections-and-deadlines.md)."""

import re
from enum import Enum
from types import TracebackType
from typing import Self

import psycopg
import structlog

from application.errors import StorageNeedsAttention, StorageUnavailable
from infrastructure.postgres import metrics

_NEEDS_ATTENTION = {
    "25006": "the database is read-only: connect to the primary",
    "53100": "the disk of the database is full",
    "42501": "the role of the service lacks a privilege: run `perezvon migrate`",
    "3D000": "the database does not exist",
    "57P04": "the database was dropped",
    "53400": "a limit in the configuration of the server is exceeded",
    **dict.fromkeys(
        ("3F000", "42P01", "42703", "42704", "42883"),  # no such schema, table, column, type, function
        "the schema is not that of this program: run `perezvon migrate`, or `perezvon doctor` to find what is missing",
    ),
}
_NEEDS_ATTENTION_CLASSES = {
    "28": "the server rejects the login",
    "58": "the server's machine fails",
    "F0": "the configuration of the server is invalid",
    "XX": "the server reports corrupted data or an internal error",
}
# libpq gives no SQLSTATE when a connection is refused. These are the texts of a server whose lc_messages is English.
_REFUSED_CONNECTIONS = (
    ("28P01", re.compile("password authentication failed")),
    ("28000", re.compile('no pg_hba.conf entry|role ".*" does not exist|is not permitted to log in')),
    ("3D000", re.compile('database ".*" does not exist')),
    ("42501", re.compile("permission denied for database")),
)
_RETRY = frozenset({"25P03", "25P04", "55P03", "55006"})
_RETRY_CLASSES = frozenset({"08", "40", "53", "57", "72"})
_VALUE_CLASSES = frozenset({"22", "23", "54"})

_logger = structlog.get_logger(__name__)


class Action(Enum):
    """The reaction to an error of Postgres."""

    RETRY = "retry"
    """Try again: the connection is lost, or the server is busy, restarts or waits for a lock."""
    PAGE = "page"
    """Page an operator: the server responds, but does not work until a person has acted."""
    CHANGE_VALUES = "change values"
    """Do not send these values again: the server rejects them. From a request it is a bug; an event's stream is parked."""
    FIX_PROGRAM = "fix program"
    """Fix the program: it is a bug."""


def action_of(error: psycopg.Error) -> Action:
    """Return what the client should do, by the SQLSTATE of the error; without one, the connection is lost."""
    state = _state_of(error)
    if state is None:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return Action.RETRY
        return Action.CHANGE_VALUES if isinstance(error, psycopg.DataError) else Action.FIX_PROGRAM
    if state in _NEEDS_ATTENTION or state[:2] in _NEEDS_ATTENTION_CLASSES:
        return Action.PAGE
    if state in _RETRY or state[:2] in _RETRY_CLASSES:
        return Action.RETRY
    return Action.CHANGE_VALUES if state[:2] in _VALUE_CLASSES else Action.FIX_PROGRAM


def _state_of(error: psycopg.Error) -> str | None:
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        return next((state for state, text in _REFUSED_CONNECTIONS if text.search(str(error))), None)
    return error.sqlstate


def to_storage_error(error: psycopg.Error) -> StorageUnavailable | None:
    """Return the error to raise instead, None for a bug. Counts the error, and logs one that needs a person."""
    action, state = action_of(error), _state_of(error) or "connection"
    metrics.ERRORS.labels(action.value, state).inc()
    text = error.diag.message_primary or str(error).strip() or type(error).__name__
    if action is Action.RETRY:
        return StorageUnavailable(text)
    if action is Action.PAGE:
        reason = _NEEDS_ATTENTION.get(state) or _NEEDS_ATTENTION_CLASSES[state[:2]]
        _logger.error("database needs attention", sqlstate=state, reason=reason, error=text)
        return StorageNeedsAttention(reason, text=text, sqlstate=state)
    return None


class translate_errors:  # noqa: N801 - used like a function; a generator would cost more in every query
    """Raise StorageUnavailable, or StorageNeedsAttention, instead of an error of Postgres that is not a bug."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Translate the error, if there is one."""
        if isinstance(error, psycopg.Error) and (translated := to_storage_error(error)):
            raise translated from error
