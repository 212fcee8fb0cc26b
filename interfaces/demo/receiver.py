"""A receiver of webhooks on this machine, which verifies and counts them."""

import hmac
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

_TOLERANCE_S = 300


class _Data(msgspec.Struct, frozen=True):
    callback_id: int


class _Message(msgspec.Struct, frozen=True):
    sequence: int
    data: _Data


class Receiver:
    """Counters of received webhooks, deduplicated by ``webhook-id``.

    ``verified`` counts messages by the last segment of their path. ``refused`` messages had a wrong signature or time,
    ``repeated`` ones came more than once, ``disordered`` ones came after a newer message of the same callback.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        """Verify with the organisation's ``secret``, ``whsec_…``; ``clock`` returns seconds since 1970."""
        self.url = ""
        self.verified: Counter[str] = Counter()
        self.refused = self.repeated = self.disordered = 0
        self._secret = secret
        self._clock = clock
        self._known: set[str] = set()
        self._newest: dict[int, int] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Receive a webhook: respond 204, or 401 if the signature or time is wrong."""
        return web.Response(status=self.take(request.path, request.headers, await request.read()))

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Count a webhook and return the HTTP status of the response."""
        if not is_genuine(self._secret, headers, body, self._clock()):
            self.refused += 1
            return 401
        if headers["webhook-id"] in self._known:
            self.repeated += 1
            return 204
        self._known.add(headers["webhook-id"])
        self.verified[path.rpartition("/")[2]] += 1
        message = msgspec.json.decode(body, type=_Message)
        newest = self._newest.get(message.data.callback_id, 0)
        self.disordered += message.sequence <= newest
        self._newest[message.data.callback_id] = max(newest, message.sequence)
        return 204


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Return whether a webhook was signed with the secret within five minutes of ``now``, in seconds since 1970.

    Source: https://github.com/standard-webhooks/standard-webhooks, HMAC-SHA256 over the id, time and body as received.
    """
    sent = headers.get("webhook-timestamp", "")
    if not (sent.isascii() and sent.isdecimal()) or abs(now - int(sent)) > _TOLERANCE_S:
        return False
    content = f"{headers.get('webhook-id')}.{sent}.".encode() + body
    digest = hmac.digest(b64decode(secret.removeprefix("whsec_")), content, "sha256")
    expected = b"v1," + b64encode(digest)
    given = headers.get("webhook-signature", "").encode()
    return any(hmac.compare_digest(expected, signature) for signature in given.split())


@asynccontextmanager
async def receiving(secret: str) -> AsyncGenerator[Receiver]:
    """Run a receiver on a free port of the loopback interface."""
    receiver = Receiver(secret)
    app = web.Application()
    app.router.add_post("/{kind}", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()
