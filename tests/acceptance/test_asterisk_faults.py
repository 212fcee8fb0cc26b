"""Calls through a real Asterisk survive faults of worker, link and Asterisk: the short form of `./run chaos --asterisk`."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.asterisk.real_switch import RealSwitch
from tests.chaos.asterisk import undergo
from tests.chaos.call_centre import CallCentre, call_centre
from tests.chaos.fault_scenarios import UP, cut_link, kill_switch, kill_worker
from tests.chaos.phones import Planned, planner
from tests.support.databases import DatabaseServer


@pytest.fixture(scope="module")
def centre(
    asterisk: RealSwitch, server: DatabaseServer, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CallCentre]:
    """Yield one call centre for all tests of this file: its start takes as long as the tests."""
    name = f"{template}_faults"
    folder: Path = tmp_path_factory.mktemp("faults")
    with call_centre(asterisk, server.create(name, template=template), folder) as running:
        yield running
    server.drop(name)


@pytest.fixture(scope="module")
def people() -> Iterator[Planned]:
    """Return the people to call, each at most once."""
    return planner()


def test_calls_go_on_when_the_worker_is_killed_and_the_next_one_takes_them_over(
    centre: CallCentre, people: Iterator[Planned]
) -> None:
    found = undergo(centre, kill_worker(centre, people, Random(1)))
    assert found.faults == []
    assert found.up >= UP
    assert found.adopted
    assert found.twice == 0


def test_after_asterisk_was_killed_what_had_ended_is_known_and_what_is_lost_is_dialled_again_after_the_pause(
    centre: CallCentre, people: Iterator[Planned]
) -> None:
    found = undergo(centre, kill_switch(centre, people, Random(1)))
    assert found.faults == []
    assert found.ledger
    assert found.lost
    assert found.twice == 0


def test_while_the_link_is_cut_nothing_starts_and_no_attempt_is_burnt(
    centre: CallCentre, people: Iterator[Planned]
) -> None:
    found = undergo(centre, cut_link(centre, people, Random(1)))
    assert found.faults == []
    assert found.adopted
    assert found.ledger
    assert found.lost == found.twice == 0
