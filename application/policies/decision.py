"""Decisions of policies: new facts of a stream, given its facts so far."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from domain.model import Envelope, Fact, Recorded

Facts = Sequence[Recorded[Any]]
Decide = Callable[[Facts], Sequence[Fact]]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision about a stream: ``decide`` returns new facts, given the stream's facts, or raises Refused.

    ``known`` is the whole stream, if the caller has read it. When it turns out to be stale, the stream is read and
    decided again; when ``decide`` returns no facts for it, that result is final.
    """

    stream: str
    decide: Decide
    envelope: Envelope
    known: Facts | None = None
