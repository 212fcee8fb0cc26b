"""Where an Asterisk is, and as whom we speak to it."""

import re
from ssl import SSLContext

import msgspec

_TRUNK = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LONGEST = 200


class AsteriskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The Manager Interface at ``host`` and ``port``, a user of it, and the PJSIP endpoint that calls go through.

    Without ``tls`` all goes in plain text. The secret is never shown. Raises ValueError, which does not show it either,
    when the trunk is none that stands in a dial string as it is, or when user or secret hold control characters.
    """

    host: str
    port: int
    user: str
    secret: str
    trunk: str
    tls: SSLContext | None = None

    def __post_init__(self) -> None:
        if not _TRUNK.fullmatch(self.trunk):
            raise ValueError("trunk: expected letters, digits, `_`, `.` and `-`")
        for name, text in (("user", self.user), ("secret", self.secret)):
            if not text.isprintable() or len(text) > _LONGEST:
                raise ValueError(f"{name}: it is too long or holds control characters")

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"AsteriskOptions({self.user}@{self.address}, trunk={self.trunk!r}, tls={self.tls is not None})"
