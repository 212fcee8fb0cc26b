"""State machine of a queue with several callbacks, a switch and a dispatcher; steps occur in any order."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.callback import callback as callbacks
from domain.callback.callback import Callback, Status
from domain.callback.events import AttemptSucceeded, CallbackFact, CallEnd, Outcome
from domain.callback.retry_policy import RetryPolicy, Rule
from domain.callback_queue import callback_queue as queues
from domain.callback_queue.events import CallingRules, QueueFact, QueueStatus
from domain.errors import AlreadyDeleted, NotWaiting
from domain.model import Recorded
from tests.support.callback_laws import check_history
from tests.support.histories import LOG_ID, RULED, START, scheduled

MOST_CALLBACKS = 5
LATE = timedelta(minutes=5)
"""The queue is not deleted earlier than this: most rules need one."""
POLICIES = [
    RetryPolicy(),
    RetryPolicy(free_congestions=2, jitter_percent=20),
    RetryPolicy(outcomes={Outcome.BUSY: Rule(retry=False), Outcome.NO_ANSWER: Rule(pause=5)}),
]
PAUSED = timedelta(hours=2)
"""Longer than any pause."""
ENDS = {Status.FINISHED, Status.CANCELLED}

Call = tuple[int, int]
"""A callback's id and the attempt."""


class Office(RuleBasedStateMachine):
    """The log, the switch and the clock. An event of the switch is received at any time, any number of times, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.queue_log: list[Recorded[QueueFact]] = []
        self.logs: dict[int, list[Recorded[CallbackFact]]] = {}
        self.live: dict[Call, bool] = {}
        """Calls at the switch, and whether A and B are joined."""
        self.dialled: Counter[Call] = Counter()
        self.reported: list[tuple[Call, CallEnd | None]] = []
        """All events of the switch, oldest first: a call was joined (None), or how it ended."""
        self.bound = 0

    @property
    def queue(self) -> queues.CallbackQueue:
        queue = queues.replay(self.queue_log)
        assert queue is not None
        return queue

    def callback(self, number: int) -> Callback:
        callback = callbacks.replay(self.logs[number])
        assert callback is not None
        return callback

    def running(self) -> int:
        """Return the number of occupied slots according to the log."""
        return sum(self.callback(number).call_runs for number in self.logs)

    def record(self, stream: str, log: list[Recorded[Any]], facts: list[Any]) -> None:
        """Append facts with the same time, as one call of `append_batch` does."""
        for fact in facts:
            log.append(
                Recorded(
                    stream=stream,
                    version=len(log) + 1,
                    position=len(log) + 1,
                    log_id=LOG_ID,
                    recorded_at=self.now,
                    fact=fact,
                    organization_id=1,
                )
            )

    def append(self, number: int, facts: list[CallbackFact]) -> None:
        self.record(f"callback/{number}", self.logs[number], facts)

    def any_callback(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.logs)), label="callback")

    def any_call(self, data: st.DataObject, *, joined: bool | None = None) -> Call | None:
        calls = sorted(call for call, is_joined in self.live.items() if joined in {None, is_joined})
        return data.draw(st.sampled_from(calls), label="call") if calls else None

    # Rules of clients.

    @initialize(limit=st.integers(1, 3), status=st.sampled_from([QueueStatus.ON, QueueStatus.ON, QueueStatus.OFF]))
    def create_queue(self, limit: int, status: QueueStatus) -> None:
        facts = queues.create("Q", status=status, concurrent_task_limit=limit)
        self.record("queue/65", self.queue_log, facts)
        self.bound = limit

    @precondition(lambda self: not self.queue.is_deleted and len(self.logs) < MOST_CALLBACKS)
    @rule(tries=st.integers(1, 3), pause=st.integers(0, 90), delay=st.sampled_from([0, 0, 30]))
    def schedule(self, tries: int, pause: int, delay: int) -> None:
        number = len(self.logs) * 64 + 1
        self.logs[number] = []
        due = self.now + timedelta(seconds=delay)
        self.append(number, [scheduled(try_count=tries, try_again_pause=pause, start_time=due)])

    @precondition(lambda self: self.reported)
    @rule(data=st.data())
    def delete_callback(self, data: st.DataObject) -> None:
        number = self.any_callback(data)
        if self.callback(number).is_deleted:
            with pytest.raises(AlreadyDeleted):
                self.callback(number).delete()
        else:
            self.append(number, self.callback(number).delete())

    @rule(status=st.sampled_from([None, *QueueStatus]), limit=st.none() | st.integers(1, 3))
    def change_queue(self, status: QueueStatus | None, limit: int | None) -> None:
        if self.queue.is_deleted:
            with pytest.raises(AlreadyDeleted):
                self.queue.change(status=status, concurrent_task_limit=limit)
        else:
            facts = self.queue.change(status=status, concurrent_task_limit=limit)
            self.record("queue/65", self.queue_log, facts)

    @precondition(lambda self: not self.queue.is_deleted)
    @rule(policy=st.none() | st.sampled_from(POLICIES))
    def choose_rules(self, policy: RetryPolicy | None) -> None:
        facts = self.queue.choose_rules(CallingRules(retry_policy=policy))
        self.record("queue/65", self.queue_log, facts)

    @precondition(lambda self: not self.queue.is_deleted and self.now > START + LATE)
    @rule()
    def delete_queue(self) -> None:
        self.record("queue/65", self.queue_log, self.queue.delete())

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.dispatch()

    # Rules of workers.

    @rule()
    def dispatch(self) -> None:
        """Start due callbacks in free slots, oldest first. A callback may have been started or deleted already."""
        if self.queue.is_deleted:
            for number in self.logs:
                if self.callback(number).waits:
                    self.append(number, self.callback(number).delete())
        elif self.queue.status is QueueStatus.ON:
            rows = sorted((self.callback(number).due_at or START, number) for number in self.logs)
            for due_at, number in rows:
                if due_at <= self.now and self.running() < self.queue.concurrent_task_limit:
                    self.start(number)

    def start(self, number: int) -> None:
        """Record the attempt, then dial."""
        callback = self.callback(number)
        with suppress(NotWaiting):
            self.append(number, callback.start_attempt(f"{number}#{callback.attempt + 1}"))
            self.dial((number, self.callback(number).attempt))

    def dial(self, call: Call) -> None:
        assert call[0] not in {number for number, _ in self.live}, "two calls of one callback at once"
        self.live[call] = False
        self.dialled[call] += 1
        assert self.running() <= self.queue.concurrent_task_limit

    @precondition(lambda self: self.logs)
    @rule(data=st.data())
    def decide_retry(self, data: st.DataObject) -> None:
        self.retry(self.any_callback(data))

    def retry(self, number: int) -> None:
        callback = self.callback(number)
        facts = callback.decide_retry(self.queue.rules.retry_policy or RetryPolicy())
        self.append(number, callback.delete() if facts and self.queue.is_deleted else facts)

    # Rules of the switch, and its events.

    @precondition(lambda self: self.live)
    @rule(data=st.data(), received=st.booleans())
    def join(self, data: st.DataObject, *, received: bool) -> None:
        if call := self.any_call(data, joined=False):
            self.live[call] = True
            self.reported.append((call, None))
            if received:
                self.receive(call, None)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), outcome=st.sampled_from(RULED), received=st.booleans())
    def end(self, data: st.DataObject, outcome: Outcome, *, received: bool) -> None:
        if call := self.any_call(data):
            self.end_call(call, outcome)
            if received:
                self.receive(*self.reported[-1])
                self.retry(call[0])

    def end_call(self, call: Call, outcome: Outcome) -> None:
        joined = self.live.pop(call)
        self.reported.append((call, CallEnd(outcome=Outcome.SUCCESS if joined else outcome)))

    @precondition(lambda self: self.live)
    @rule()
    def restart_switch(self) -> None:
        """Lose all calls, joined or not. The ledger has no record of them, so they are found lost."""
        for call in sorted(self.live):
            del self.live[call]
            self.reported.append((call, CallEnd(outcome=Outcome.LOST)))

    @precondition(lambda self: self.reported)
    @rule(data=st.data())
    def receive_again(self, data: st.DataObject) -> None:
        """Receive an event that the switch reported: one of the latest, possibly for the second time, or an old one."""
        self.receive(*data.draw(st.sampled_from(self.reported[:-4:-1] + self.reported), label="event"))

    def receive(self, call: Call, end: CallEnd | None) -> None:
        number, attempt = call
        callback = self.callback(number)
        self.append(number, callback.call_ended(attempt, end) if end else callback.call_joined(attempt))

    # Invariants.

    @invariant()
    def each_history_is_legal(self) -> None:
        for log in self.logs.values():
            check_history(log, POLICIES)

    @invariant()
    def a_success_was_a_joined_call(self) -> None:
        joined = {call for call, end in self.reported if end is None}
        for number, log in self.logs.items():
            for event in log:
                if isinstance(event.fact, AttemptSucceeded):
                    assert (number, event.fact.attempt) in joined

    @invariant()
    def no_call_is_dialled_twice_or_without_a_slot(self) -> None:
        assert set(self.dialled.values()) <= {1}
        assert set(self.live) <= {(n, c.attempt) for n in self.logs if (c := self.callback(n)).call_runs}

    @invariant()
    def no_more_run_than_the_limit(self) -> None:
        """Check the limit. Calls that ran when it was lowered continue to their end, and the bound falls with them."""
        if self.queue_log:
            self.bound = max(self.queue.concurrent_task_limit, min(self.bound, self.running()))
            assert len(self.live) <= self.running() <= self.bound

    def teardown(self) -> None:
        """Receive all events and turn the queue on; check that every callback reaches exactly one end."""
        if not self.queue_log:
            return
        if not self.queue.is_deleted:
            self.change_queue(QueueStatus.ON, 1)
        for _ in range(MOST_CALLBACKS * 3 + 1):
            for call in sorted(self.live):
                self.end_call(call, Outcome.BUSY)
            for call, end in self.reported:
                self.receive(call, end)
            for number in self.logs:
                self.retry(number)
            self.now += PAUSED
            self.dispatch()
        self.each_history_is_legal()
        for number in self.logs:
            callback = self.callback(number)
            assert callback.status in ENDS
            assert not callback.call_runs


TestOffice = Office.TestCase
TestOffice.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
