"""A small application of the ``eventsourcing`` library: notes, as plain data classes with text ids."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Noted:
    originator_id: str
    originator_version: int
    text: str


@dataclass(frozen=True)
class NoteSnapshot:
    originator_id: str
    originator_version: int
    lines: list[str]

    @classmethod
    def take(cls, note: "Note") -> "NoteSnapshot":
        return cls(note.id, note.version, note.lines)


@dataclass(frozen=True)
class Note:
    id: str
    version: int
    lines: list[str] = field(default_factory=list[str])
    Snapshot: ClassVar = NoteSnapshot


def fold(note: Note | None, events: Iterable[Noted | NoteSnapshot]) -> Note | None:
    """Build a note from its events, or from a snapshot and the events after it."""
    for event in events:
        if isinstance(event, NoteSnapshot):
            note = Note(event.originator_id, event.originator_version, event.lines)
        else:
            lines = [*note.lines, event.text] if note else [event.text]
            note = Note(event.originator_id, event.originator_version, lines)
    return note
