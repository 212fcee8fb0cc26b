"""What a policy decides on a stream: new facts, given the facts of the stream."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from domain.model import Envelope, Fact, Recorded

Facts = Sequence[Recorded[Any]]
Decide = Callable[[Facts], Sequence[Fact]]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be decided on a stream: ``decide`` answers new facts to the stream's, or raises Refused.

    ``known`` is the whole stream, where the caller has it: when it turns out to be old, the stream is read and decided
    again; where ``decide`` answers nothing to it, that stands.
    """

    stream: str
    decide: Decide
    envelope: Envelope
    known: Facts | None = None
