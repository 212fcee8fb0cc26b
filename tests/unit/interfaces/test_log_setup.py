"""Format, level and content of log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import REGISTRY

from interfaces.config.log_fields import LogFields, set_log_fields
from interfaces.config.log_setup import set_up_logging
from interfaces.config.settings import BadSetting, Settings


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_where_no_terminal_is_a_line_is_one_json_object_with_its_context() -> None:
    stream = io.StringIO()
    set_up_logging(Settings(), stream)
    fields: LogFields = {"client": "192.0.2.1"}
    set_log_fields(fields)
    fields["request_id"] = "r-1"
    structlog.get_logger("perezvon").info("привет", ms=1.5)
    set_log_fields({})
    (line,) = lines(stream)
    assert {key: line[key] for key in ("event", "level", "ms", "request_id", "client")} == {
        "event": "привет", "level": "info", "ms": 1.5, "request_id": "r-1", "client": "192.0.2.1",
    }  # fmt: skip
    assert line["timestamp"].endswith("Z")


def test_the_standard_librarys_loggers_come_out_the_same_way() -> None:
    stream = io.StringIO()
    set_up_logging(Settings(), stream)
    logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("Invalid request", "warning", "uvicorn.error")


def test_a_line_that_cannot_be_written_is_lost_and_counted() -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    before = REGISTRY.get_sample_value("perezvon_log_lines_lost_total") or 0.0
    set_up_logging(Settings(), Broken())
    structlog.get_logger("perezvon").info("lost")
    logging.getLogger("uvicorn.error").warning("lost too")
    assert (REGISTRY.get_sample_value("perezvon_log_lines_lost_total") or 0.0) >= before + 2


def test_people_at_a_terminal_get_no_json() -> None:
    stream = Terminal()
    set_up_logging(Settings(), stream)
    structlog.get_logger("perezvon").info("hello")
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_tells_no_local_variables(stream: io.StringIO) -> None:
    set_up_logging(Settings(), stream)

    def fail(secret: str) -> None:
        raise ValueError(len(secret))

    try:
        fail("pz_" + "x" * 5)
    except ValueError:
        structlog.get_logger("perezvon").exception("unexpected")
    assert "ValueError: 8" in stream.getvalue()
    assert "pz_xxxxx" not in stream.getvalue()


def test_what_is_below_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    set_up_logging(Settings(log_level="warning"), stream)
    structlog.get_logger("perezvon").info("quiet")
    logging.getLogger("some.library").info("quiet")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("settings", [Settings(log_level="loud"), Settings(log_format="xml")])
def test_a_setting_that_is_none_is_refused_by_name(settings: Settings) -> None:
    with pytest.raises(BadSetting, match="PEREZVON_LOG_"):
        set_up_logging(settings)
