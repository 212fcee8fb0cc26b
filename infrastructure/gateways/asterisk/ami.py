"""A session of Asterisk's Manager Interface: actions with their responses, any number in flight, and events."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Self

import msgspec
import structlog

from application.ports.call_gateway import GatewayUnavailable
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.messages import Message, encode
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.asterisk.wire import Wire

ACTION_ID_PREFIX = "perezvon-"
"""Prefix of the ids of our actions."""

_ITEMS_MAX = 100_000  # of a list: some ten thousand calls
_STOPPING = "Asterisk is shutting down"
_NO_VARIABLES: Mapping[str, str] = {}

_logger = structlog.get_logger(__name__)


class ActionRefused(GatewayUnavailable):
    """The switch refused an action; ``reason`` is its text."""

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"{action}: {reason}")
        self.reason = reason


class LoginRefused(ActionRefused):
    """The switch was reached and refused the login."""


class Response(msgspec.Struct, frozen=True):
    """A response of the switch; ``items`` where it is a list."""

    message: Message
    items: Sequence[Message] = ()


OnResponse = Callable[[Response | GatewayUnavailable], None]


class _PendingAction(msgspec.Struct):
    action: str
    on_response: OnResponse
    sent_at: float
    items: list[Message]
    message: Message | None = None


class Ami:
    """A session of the Manager Interface, logged in from ``async with`` on.

    The link is cut when a response takes longer than ``timeout_s``. An idle switch is pinged as often, as a keepalive.
    """

    def __init__(
        self,
        options: AsteriskOptions,
        *,
        timeout_s: float = 5.0,
        on_events: Callable[["Ami", Sequence[Message]], None] | None = None,
        kinds: Collection[bytes] = (),
    ) -> None:
        """Call ``on_events`` with all events of these kinds that arrive at once; without it the switch sends no events."""
        self._options = options
        self._timeout_s = timeout_s
        self._on_events = on_events
        self._kinds = kinds
        self._wire = Wire(self._handle_messages)
        self._pending: dict[str, _PendingAction] = {}
        self._numbers = count(1)
        self._received_at = 0.0
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Connect and log in. Raises GatewayUnavailable; LoginRefused where the switch was reached and refused the login."""
        self._watching = asyncio.create_task(self._watch(), name="link to Asterisk")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connect()
                await self._log_in()
        except (OSError, OverflowError, UnicodeError, TimeoutError) as error:
            await self._close()
            raise GatewayUnavailable(f"{self._options.address}: {error or type(error).__name__}") from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def until_lost(self) -> None:
        """Return when the link is lost."""
        await self._wire.lost.wait()

    def cut(self) -> None:
        """Close the link at once."""
        self._wire.cut()

    async def request(self, action: str, /, variables: Mapping[str, str] = _NO_VARIABLES, **fields: str) -> Response:
        """Send an action with these channel variables, and return the response.

        Raises ActionRefused when the switch did nothing, GatewayUnavailable when the link is lost before the response,
        ValueError when a value cannot be encoded: then nothing was sent.
        """
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def settle(response: Response | GatewayUnavailable) -> None:
            if future.done():
                return
            if isinstance(response, GatewayUnavailable):
                future.set_exception(response)
            else:
                future.set_result(response)

        self.send(settle, action, variables, **fields)
        return await future

    def send(
        self, on_response: OnResponse, action: str, /, variables: Mapping[str, str] = _NO_VARIABLES, **fields: str
    ) -> None:
        """Send an action as ``request`` does, and call ``on_response`` with the result later. Raises ValueError."""
        action_id = f"{ACTION_ID_PREFIX}{next(self._numbers)}"
        lines = [("Action", action), ("ActionID", action_id), *fields.items()]
        lines += [("Variable", f"{name}={value}") for name, value in variables.items()]
        encoded = encode(lines)
        if self._is_closed:
            on_response(GatewayUnavailable("the link is lost"))
            return
        self._pending[action_id] = _PendingAction(action, on_response, time.monotonic(), [])
        self._wire.send(encoded)

    async def _connect(self) -> None:
        options, loop = self._options, asyncio.get_running_loop()
        await loop.create_connection(lambda: self._wire, options.host, options.port, ssl=options.tls)

    async def _log_in(self) -> None:
        """Log in by challenge and response, so that the secret is not sent."""
        options, events = self._options, "call" if self._on_events else "off"
        try:
            challenge = (await self.request("Challenge", AuthType="MD5")).message.get("Challenge")
            key = hashlib.md5(f"{challenge}{options.secret}".encode(), usedforsecurity=False).hexdigest()
            await self.request("Login", AuthType="MD5", Username=options.user, Key=key, Events=events)
        except ActionRefused as error:
            raise LoginRefused("Login", error.reason) from None

    async def _watch(self) -> None:
        """Cut the link when a response is overdue; ping an idle switch; fail pending actions once the link is lost."""
        while not self._wire.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s / 4):
                    await self._wire.lost.wait()
            self._check_liveness(time.monotonic())
        self._fail_pending()

    def _check_liveness(self, now: float) -> None:
        oldest = next(iter(self._pending.values()), None)
        if oldest and now - oldest.sent_at > self._timeout_s:
            _logger.warning("link cut", switch="Asterisk", error="no response", action=oldest.action)
            self._wire.cut()
        elif not oldest and self._received_at and now - self._received_at > self._timeout_s:
            self.send(_ignore, "Ping")

    async def _close(self) -> None:
        self._watching.cancel()
        await asyncio.wait([self._watching])
        self._fail_pending()

    def _fail_pending(self) -> None:
        self._is_closed = True
        self._wire.cut()
        pending_actions, self._pending = self._pending, {}
        for pending in pending_actions.values():
            metrics.ACTIONS.labels(pending.action, "none").inc()
            pending.on_response(GatewayUnavailable("the link was lost before the response arrived"))

    def _handle_messages(self, blocks: list[bytes]) -> None:
        """Handle messages. Unsolicited events, and only those, have ``Privilege`` in their second line."""
        metrics.MESSAGES.inc(len(blocks))
        self._received_at = time.monotonic()
        events: list[Message] = []
        for block in blocks:
            if block.startswith(b"Event: "):
                end = block.find(b"\r\n")
                if not block.startswith(b"Privilege: ", end + 2):
                    self._handle_list_item(Message(block))
                elif block[7:end] in self._kinds:
                    events.append(Message(block))
            else:
                self._handle_response(Message(block))
        if events and self._on_events:
            self._on_events(self, events)

    def _handle_response(self, message: Message) -> None:
        pending = self._pending.get(message.get("ActionID"))
        if pending is None:
            return
        if message.get("Response") == "Error":
            reason = message.get("Message")
            self._settle(message, pending, "refused", ActionRefused(pending.action, reason))
            if reason == _STOPPING:
                self._wire.cut()  # it may keep the link up and do nothing more
        elif message.get("EventList") == "start":
            pending.message = message
        else:
            self._settle(message, pending, "done", Response(message))

    def _handle_list_item(self, item: Message) -> None:
        pending = self._pending.get(item.get("ActionID"))
        if pending is None or pending.message is None:
            return
        if item.get("EventList") == "Complete":
            self._settle(item, pending, "done", Response(pending.message, pending.items))
            return
        pending.items.append(item)
        if len(pending.items) > _ITEMS_MAX:
            _logger.warning("link cut", switch="Asterisk", error="too many list items", action=pending.action)
            self._wire.cut()

    def _settle(self, last: Message, pending: _PendingAction, label: str, result: Response | ActionRefused) -> None:
        del self._pending[last.get("ActionID")]
        metrics.ACTIONS.labels(pending.action, label).inc()
        pending.on_response(result)


def _ignore(_: Response | GatewayUnavailable) -> None:
    pass
