"""What must be true of every callback's history, whoever made it: hypothesis, or workers that were killed."""

import itertools
import re
from collections.abc import Sequence
from datetime import timedelta

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnded,
    FinishResult,
)
from domain.model import Recorded

_LETTERS: dict[type[CallbackFact], str] = {
    CallbackScheduled: "n",
    AttemptStarted: "s",
    AttemptSucceeded: "j",
    AttemptFailed: "f",
    CallEnded: "e",
    CallbackDelayed: "d",
    CallbackFinished: "x",
    CallbackCancelled: "c",
    CallbackRemoved: "r",
}
_LEGAL = re.compile(
    r"n(sfd)*"  # tries that failed; then
    r"(|s|sf"  # it waits, or dials, or has failed and nobody has decided yet,
    r"|sfxr?"  # or its tries are spent,
    r"|sjx(|e|er|r|re)"  # or A and B were joined, and the call ends before or after the callback is removed,
    r"|c|sce?|sfc)"  # or it was cancelled while it waited, dialled, or had failed
)


def check_history(events: Sequence[Recorded[CallbackFact]]) -> None:
    """Fail unless the stream, read between two appends, is one that the contract allows.

    Attempts are numbered from 1, never more than the tries, each call ends once and before the next is started; at most
    one success, with its finish; finished or cancelled once; a pause counts from the failure that it follows.
    """
    shape = "".join(_LETTERS[type(event.fact)] for event in events)
    assert _LEGAL.fullmatch(shape), f"{events[0].stream}: {shape}"
    assert [event.version for event in events] == [*range(1, len(events) + 1)]
    scheduled = events[0].fact
    assert isinstance(scheduled, CallbackScheduled)
    attempt, call_ids = 0, set[str]()
    for before, event in itertools.pairwise(events):
        match event.fact:
            case AttemptStarted(attempt=started, call_id=call_id):
                attempt += 1
                call_ids.add(call_id)
                assert started == attempt <= scheduled.try_count
            case AttemptSucceeded(attempt=told) | AttemptFailed(attempt=told) | CallEnded(attempt=told):
                assert told == attempt
            case CallbackDelayed(due_at=due_at):
                assert due_at == before.recorded_at + timedelta(seconds=scheduled.try_again_pause)
            case CallbackFinished(result=result):
                assert result is (
                    FinishResult.SUCCESS if isinstance(before.fact, AttemptSucceeded) else FinishResult.FAILED
                )
                assert result is FinishResult.SUCCESS or attempt == scheduled.try_count
            case _:
                pass
    assert len(call_ids) == attempt, "a call id was used twice"
