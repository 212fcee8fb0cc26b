"""Fields that every log line of a request carries: its id, the client's address, the actor."""

from contextvars import ContextVar

from structlog.typing import EventDict, WrappedLogger

LogFields = dict[str, object]

# One dictionary, because a context variable of its own for each field costs a request several microseconds.
_fields: ContextVar[LogFields] = ContextVar("log_fields")


def set_log_fields(fields: LogFields) -> None:
    """Set the fields that log lines of the current task carry, also those that are added to ``fields`` later."""
    _fields.set(fields)


def add_log_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the fields to a log line, except those that it has itself: a processor of structlog."""
    for name, value in _fields.get({}).items():
        event.setdefault(name, value)
    return event
