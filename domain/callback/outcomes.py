"""The contract's words for the outcomes of calls."""

from domain.callback.events import CallEnd, Leg, Outcome

_WORDS = {
    Outcome.SUCCESS: "ANSWER",
    Outcome.BUSY: "BUSY",
    Outcome.NO_ANSWER: "NOANSWER",
    Outcome.REJECTED: "CHANUNAVAIL",
    Outcome.INVALID_NUMBER: "CHANUNAVAIL",
    Outcome.CONGESTION: "CONGESTION",
    Outcome.ABANDONED: "CANCEL",
    Outcome.CANCELLED: "CANCEL",
    Outcome.LOST: "CANCEL",
    Outcome.NOT_DIALLED: "CANCEL",
}


def word_of(outcome: Outcome) -> str:
    """Return the contract's word for an outcome (docs/contracts/task_scheduler.md, Status)."""
    return _WORDS[outcome]


def refusal_comment(leg: Leg, rule: str) -> str:
    """Return the ``finish_comment`` of a callback whose number on that leg may not be called."""
    return f"CANCEL {leg} refused ({rule})"


def comment_of(end: CallEnd) -> str:
    """Return the ``finish_comment``: the contract's word, the leg, our outcome, and the switch's reply.

    For example ``CHANUNAVAIL b invalid_number (SIP 404 Not Found)``. A lost call is ``CANCEL interrupted``, as its leg is
    not known; a success is ``ANSWER b``, the leg that answered last.
    """
    word = word_of(end.outcome)
    match end.outcome:
        case Outcome.LOST:
            return f"{word} interrupted"
        case Outcome.SUCCESS:
            return f"{word} b"
        case outcome:
            parts = (word, end.leg, outcome.value, end.sip and f"({end.sip})")
            return " ".join(part for part in parts if part)
