"""Log setup: JSON for machines, colours for a terminal; loggers of the standard library use the same format."""

import logging
import os
import sys
from typing import Any, TextIO, cast

import msgspec
import structlog
from prometheus_client import Counter
from structlog.typing import Processor

from interfaces.config.log_fields import add_log_fields
from interfaces.config.settings import BadSetting, Settings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_CHATTY = ("httpx", "httpcore", "asyncio")
_LOST = Counter("perezvon_log_lines_lost", "Lines of the log that could not be written.")
_encoder = msgspec.json.Encoder(enc_hook=repr)


class _Output:
    """The stream of the log. A line that cannot be written is lost and counted: no request, and no signal, depends on it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError:  # the reader of a pipe is gone, or the disk is full
            _LOST.inc()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _LOST.inc()


def set_up_logging(settings: Settings, stream: TextIO = sys.stderr) -> None:
    """Configure logging to ``stream``: the log format ``auto`` is console on a terminal, and JSON elsewhere.

    Raises BadSetting for an unknown ``log_level`` or ``log_format``.
    """
    level = _LEVELS.get(settings.log_level.lower())
    if level is None:
        raise BadSetting(f"PEREZVON_LOG_LEVEL: expected one of {', '.join(_LEVELS)}, not {settings.log_level!r}")
    shared: list[Processor] = [
        add_log_fields,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered, output = _renderers(settings, stream), cast("TextIO", _Output(stream))
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _renderers(settings: Settings, stream: TextIO) -> list[Processor]:
    match settings.log_format:
        case "auto":
            for_people = stream.isatty()
        case "console" | "json":
            for_people = settings.log_format == "console"
        case _:
            raise BadSetting(f"PEREZVON_LOG_FORMAT: expected auto, console or json, not {settings.log_format!r}")
    if for_people:
        # The default traceback formatter prints local variables, which may hold secrets.
        formatter = structlog.dev.plain_traceback
        colors = stream.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=formatter)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]


def _json(line: Any, **_: Any) -> str:
    return _encoder.encode(line).decode()
