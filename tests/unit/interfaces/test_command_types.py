"""Values of the command line: the same texts mean the same as over HTTP."""

from datetime import UTC, datetime

import click
import pytest

from interfaces.commands.common import MOMENT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-30T18:00:00Z", datetime(2026, 11, 30, 18, tzinfo=UTC)),
        ("2026-11-30t23:00:00.5+05:00", datetime(2026, 11, 30, 18, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-30 18:00:00", datetime(2026, 11, 30, 18, tzinfo=UTC)),
        ("2026-11-30", datetime(2026, 11, 30, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01T04:59:60+05:00", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_that_of_the_api(text: str, expected: datetime) -> None:
    assert MOMENT.convert(text, None, None) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2016-12-31T12:00:60Z", "only at 23:59:60 UTC"),
        ("2016-W01-1", "RFC 3339"),
        ("20161231T120000Z", "RFC 3339"),
        ("2016-02-30", "RFC 3339"),
        ("0001-01-01T00:00:00Z", "from 0001-01-02"),
        ("tomorrow", "not 'tomorrow'"),
    ],
)
def test_a_time_that_does_not_exist_is_refused_as_by_the_api(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        MOMENT.convert(text, None, None)
