"""The queue of each next call: round robin over organisations, and within each over its queues."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice

from infrastructure.dispatch.due_queue import QueueTurn, deal, round_robin

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def turn(organization_id: int, queue_id: int, *, at: float = 0.0, free: int = 100) -> QueueTurn:
    startable_at = NOW + timedelta(seconds=at)
    return QueueTurn(organization_id, startable_at, queue_id, free, None, None, NOW, 1)


def anybody(organization_id: int) -> bool:
    return True


def queues(turns: list[QueueTurn], most: int, order: tuple[int, ...] = (1, 2)) -> list[int]:
    return [one.queue_id for one in islice(round_robin(turns, order, anybody), most)]


def test_organisations_take_turns_and_in_each_its_queues() -> None:
    assert queues([turn(1, 10), turn(1, 11), turn(1, 12), turn(2, 20)], 8) == [10, 20, 11, 20, 12, 20, 10, 20]


def test_who_was_served_longest_ago_is_first() -> None:
    turns = [turn(1, 10, at=3.0), turn(1, 11, at=2.0), turn(2, 20, at=4.0)]
    assert queues(turns, 3, (2, 1)) == [20, 11, 20]
    assert queues(turns, 4, (2, 1)) == [20, 11, 20, 10]


def test_a_queue_has_no_more_turns_than_free_slots() -> None:
    turns = [turn(1, 10, free=1), turn(1, 11, free=2), turn(2, 20, free=3)]
    assert Counter(queues(turns, 100)) == {10: 1, 11: 2, 20: 3}


def test_an_organisation_without_a_place_has_no_turn_and_holds_up_nobody() -> None:
    places = Counter({1: 2, 2: 4})

    def has_place(organization_id: int) -> bool:
        places[organization_id] -= 1
        return places[organization_id] >= 0

    dealt = deal([turn(1, 10), turn(2, 20)], (1, 2), 100, has_place)
    assert [one.queue_id for one in dealt] == [10, 20, 10, 20, 20, 20]


def test_no_place_is_taken_beyond_the_batch() -> None:
    asked: list[int] = []
    assert len(deal([turn(1, 10)], (1,), 3, lambda one: not asked.append(one))) == len(asked) == 3


def test_of_nothing_nobody_has_a_turn() -> None:
    assert queues([], 5) == []
