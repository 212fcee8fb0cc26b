"""Messages of the Manager Interface: lines of ``Name: value``, then an empty line (docs/asterisk.md)."""

from collections.abc import Iterable

END = b"\r\n\r\n"

_LINE_MAX = 1000  # bytes; Asterisk drops part of what is longer than 1024
_ENDS_LINE = frozenset("\r\n\0")


class Message:
    """A message of the switch. Values are parsed on access: most are never read."""

    __slots__ = ("_lines",)

    def __init__(self, block: bytes) -> None:
        """Parse ``block``, a message without its terminator."""
        self._lines = b"\r\n%b\r\n" % block

    def get(self, name: str) -> str:
        """Return the first value of that name, empty where there is none. Bytes that are no UTF-8 are replaced."""
        return self._after(b"\r\n%b: " % name.encode()) or ""

    def variable(self, name: str) -> str | None:
        """Return the value of a channel variable; None where the switch is not configured to send it."""
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
    """Return the bytes of an action.

    Raises ValueError, which does not contain the value, when one cannot be sent unchanged: a line break would begin
    another field, or another action.
    """
    return b"\r\n".join([_line(name, value) for name, value in fields]) + END


def _line(name: str, value: str) -> bytes:
    if not _ENDS_LINE.isdisjoint(name) or not _ENDS_LINE.isdisjoint(value):
        raise ValueError(f"the value of {name!r} contains a line break or NUL")
    try:
        line = f"{name}: {value}".encode()
    except UnicodeEncodeError:
        raise ValueError(f"the value of {name!r} is not encodable as UTF-8") from None
    if len(line) > _LINE_MAX:
        raise ValueError(f"the value of {name!r} is too long: at most {_LINE_MAX} bytes with its name")
    return line
