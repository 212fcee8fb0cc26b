"""Names of streams: as they are stored, and back to ids."""

import pytest

from domain import streams
from domain.streams import aggregate_id, aggregate_number, prefix_of

UUID = "0199f6a4-5f0b-7c3e-8d0a-1b2c3d4e5f60"


def test_names_are_those_that_logs_have_stored() -> None:
    assert streams.task_stream(UUID) == f"task/{UUID}"
    assert streams.callback_stream(7) == "callback/7"
    assert streams.queue_stream(7) == "queue/7"
    assert streams.organization_stream(7) == "organization/7"


@pytest.mark.parametrize(
    "stream", [streams.callback_stream(7), streams.queue_stream(7), streams.organization_stream(7)]
)
def test_a_number_comes_back_from_its_stream(stream: str) -> None:
    assert (prefix_of(stream), aggregate_id(stream), aggregate_number(stream)) == (stream[:-1], "7", 7)


def test_a_task_is_found_by_its_uuid() -> None:
    stream = streams.task_stream(UUID)
    assert (prefix_of(stream), aggregate_id(stream)) == (streams.TASK_PREFIX, UUID)
    with pytest.raises(ValueError, match="invalid literal"):
        aggregate_number(stream)


def test_what_is_no_stream_has_no_prefix() -> None:
    assert prefix_of("task") == ""
