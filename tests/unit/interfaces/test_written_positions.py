"""The last position that this process wrote, by organisation."""

import pytest

from interfaces.api.web import written_positions
from interfaces.api.web.written_positions import WrittenPositions


def test_the_furthest_position_counts() -> None:
    written = WrittenPositions()
    assert written.latest(1) == 0
    for position in (7, 9, 8):
        written.record(1, position)
    assert (written.latest(1), written.latest(65)) == (9, 0)


def test_of_very_many_organisations_those_that_wrote_last_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written_positions, "_ORGANIZATIONS_MAX", 3)
    written = WrittenPositions()
    for organization_id in (1, 2, 3, 1, 4):
        written.record(organization_id, 5)
    assert [written.latest(organization_id) for organization_id in (1, 2, 3, 4)] == [5, 0, 5, 5]
