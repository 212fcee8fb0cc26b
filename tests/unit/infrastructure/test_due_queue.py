"""The queue of each next call: round robin over organisations, and within each over its queues."""

from collections import Counter
from itertools import islice
from math import inf

from infrastructure.dispatch.due_queue import QueueTurn, round_robin


def turn(
    organization_id: int, queue_id: int, *, served_at: float = -inf, org: float = -inf, free: int = 100
) -> QueueTurn:
    return QueueTurn(org, organization_id, served_at, queue_id, free, None, None)


def queues(turns: list[QueueTurn], most: int) -> list[int]:
    return [one.queue_id for one in islice(round_robin(turns), most)]


def test_organisations_take_turns_and_in_each_its_queues() -> None:
    assert queues([turn(1, 10), turn(1, 11), turn(1, 12), turn(2, 20)], 8) == [10, 20, 11, 20, 12, 20, 10, 20]


def test_who_was_served_longest_ago_is_first() -> None:
    turns = [
        turn(1, 10, served_at=3.0, org=5.0),
        turn(1, 11, served_at=2.0, org=5.0),
        turn(2, 20, served_at=4.0, org=4.0),
    ]
    assert queues(turns, 3) == [20, 11, 20]
    assert queues(turns, 4) == [20, 11, 20, 10]


def test_a_queue_has_no_more_turns_than_free_slots() -> None:
    turns = [turn(1, 10, free=1), turn(1, 11, free=2), turn(2, 20, free=3)]
    assert Counter(queues(turns, 100)) == {10: 1, 11: 2, 20: 3}


def test_of_nothing_nobody_has_a_turn() -> None:
    assert queues([], 5) == []
