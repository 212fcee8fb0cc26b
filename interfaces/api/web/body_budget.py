"""The memory for request bodies: a share for each organisation, and a smaller budget for requests without a token.

The first 64 KiB of a body are not counted: the server's read buffer holds as many, and the number of connections is
limited. So only long bodies ever wait here, and short requests are not affected
(docs/adr/0020-the-cost-of-a-refusal.md).
"""

import asyncio
from collections.abc import Hashable
from typing import NamedTuple

from application.callers import Caller
from application.fair_share import FairShare

UNBUDGETED_BYTES = 64 << 10

_WITH_TOKEN_BYTES = 64 << 20
_WITHOUT_TOKEN_BYTES = 32 << 20
_WAIT_SECONDS = 2.0
_REST_S = 1.0


class BodyBytes(NamedTuple):
    """Bytes that a request holds of a share."""

    share: FairShare
    owner: Hashable
    size: int

    def release(self) -> None:
        """Return the bytes a second later, so that an owner sends no more bytes a second than it may hold."""
        asyncio.get_running_loop().call_later(_REST_S, self.share.release, self.owner, self.size)


class BodyBudget:
    """The two shares of a process: by organisation, and by client address for requests without a token."""

    def __init__(self) -> None:
        """Start with all bytes free."""
        self.with_token = FairShare("body_bytes", _WITH_TOKEN_BYTES)
        self.without_token = FairShare("body_bytes_without_token", _WITHOUT_TOKEN_BYTES)

    async def take(self, caller: Caller | None, address: str, size: int) -> BodyBytes:
        """Take bytes for a body, waiting at most two seconds. Raises ShareExhausted."""
        share, owner = (self.with_token, caller.organization_id) if caller else (self.without_token, address)
        await share.acquire(owner, size, timeout_s=_WAIT_SECONDS)
        return BodyBytes(share, owner, size)
