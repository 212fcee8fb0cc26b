"""Address and credentials of an Asterisk."""

import re
from ssl import SSLContext

import msgspec

_TRUNK = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CREDENTIAL_MAX = 200


class AsteriskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The Manager Interface at ``host`` and ``port``, a user of it, and the PJSIP endpoint of the trunk.

    Without ``tls`` the traffic is plain text. The secret is never shown. Raises ValueError, which does not show it either,
    when the trunk would alter a dial string, or when user or secret contain control characters or are too long.
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
            if not text.isprintable() or len(text) > _CREDENTIAL_MAX:
                raise ValueError(f"{name}: expected at most {_CREDENTIAL_MAX} printable characters")

    @property
    def address(self) -> str:
        """Host and port, for people and logs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"AsteriskOptions({self.user}@{self.address}, trunk={self.trunk!r}, tls={self.tls is not None})"
