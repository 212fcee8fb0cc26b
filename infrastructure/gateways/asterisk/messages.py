"""The messages of the Manager Interface: lines of ``Name: value``, and an empty one (telephony, AMI, exactly)."""

from collections.abc import Iterable

END = b"\r\n\r\n"

_LONGEST_LINE = 1000  # bytes; Asterisk drops part of what is longer than 1024
_ENDS_LINE = frozenset("\r\n\0")


class Message:
    """What the switch said. Its values are looked for when they are wanted: most never are."""

    __slots__ = ("_lines",)

    def __init__(self, block: bytes) -> None:
        """``block`` is a message without its end."""
        self._lines = b"\r\n%b\r\n" % block

    def get(self, name: str) -> str:
        """Answer the first value of that name, empty where there is none. What is no UTF-8 is replaced."""
        return self._after(b"\r\n%b: " % name.encode()) or ""

    def variable(self, name: str) -> str | None:
        """Answer the value of a channel variable; None where the switch was not asked to tell it."""
        return self._after(b"\r\nChanVariable: %b=" % name.encode())

    def __contains__(self, name: str) -> bool:
        return b"\r\n%b: " % name.encode() in self._lines

    def _after(self, label: bytes) -> str | None:
        start = self._lines.find(label)
        if start < 0:
            return None
        start += len(label)
        return self._lines[start : self._lines.index(b"\r\n", start)].decode("utf-8", "replace")


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """Answer the bytes of an action.

    Raises ValueError, which tells no value, when one cannot be sent as it is: a line break would begin another field, or
    another action.
    """
    return b"\r\n".join([_line(name, value) for name, value in fields]) + END


def _line(name: str, value: str) -> bytes:
    if not _ENDS_LINE.isdisjoint(name) or not _ENDS_LINE.isdisjoint(value):
        raise ValueError(f"a value of {name!r} holds a line break or NUL")
    try:
        line = f"{name}: {value}".encode()
    except UnicodeEncodeError:
        raise ValueError(f"a value of {name!r} is no text") from None
    if len(line) > _LONGEST_LINE:
        raise ValueError(f"a value of {name!r} is too long")
    return line
