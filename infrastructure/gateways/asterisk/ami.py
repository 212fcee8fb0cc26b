"""A client of Asterisk's Manager Interface: actions and their answers, any number of them under way."""

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
"""How the ids of our actions begin."""

_MOST_ITEMS = 100_000  # of a list: some ten thousand calls
_STOPPING = "Asterisk is shutting down"
_NO_VARIABLES: Mapping[str, str] = {}

_logger = structlog.get_logger(__name__)


class ActionRefused(GatewayUnavailable):
    """The switch answered that it did not do it; ``reason`` is its text."""

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"{action}: {reason}")
        self.reason = reason


class LoginRefused(ActionRefused):
    """The switch was reached and does not let us in."""


class Response(msgspec.Struct, frozen=True):
    """What the switch answered; ``items`` where it is a list."""

    message: Message
    items: Sequence[Message] = ()


OnResponse = Callable[[Response | GatewayUnavailable], None]


class _PendingAction(msgspec.Struct):
    action: str
    then: OnResponse
    asked_at: float
    items: list[Message]
    message: Message | None = None


class Ami:
    """A session of the Manager Interface, logged in from ``async with`` on.

    No answer is waited for longer than ``patience_s``, and an idle switch is asked for a sign of life as often: when it
    gives none the link is cut.
    """

    def __init__(
        self,
        options: AsteriskOptions,
        *,
        patience_s: float = 5.0,
        hear: Callable[["Ami", Sequence[Message]], None] | None = None,
        kinds: Collection[bytes] = (),
    ) -> None:
        """``hear`` is called with the events of these kinds, all that came in at once; without it none are sent."""
        self._options = options
        self._patience_s = patience_s
        self._hear = hear
        self._kinds = kinds
        self._wire = Wire(self._heard)
        self._questions: dict[str, _PendingAction] = {}
        self._numbers = count(1)
        self._heard_at = 0.0
        self._is_over = False

    async def __aenter__(self) -> Self:
        """Connect and log in. Raises GatewayUnavailable; LoginRefused where the switch was reached and does not want us."""
        self._holding = asyncio.create_task(self._hold(), name="link to Asterisk")
        try:
            async with asyncio.timeout(self._patience_s):
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
        """Give the link up, on purpose."""
        self._wire.cut()

    async def ask(self, action: str, /, variables: Mapping[str, str] = _NO_VARIABLES, **fields: str) -> Response:
        """Have an action carried out, with these channel variables; answer what the switch answered.

        Raises Refused when it says that it did nothing, GatewayUnavailable when the link is lost before it answered, ValueError
        when a value cannot be sent: nothing was.
        """
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def settle(answer: Response | GatewayUnavailable) -> None:
            if future.done():
                return
            if isinstance(answer, GatewayUnavailable):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.send(settle, action, variables, **fields)
        return await future

    def send(
        self, then: OnResponse, action: str, /, variables: Mapping[str, str] = _NO_VARIABLES, **fields: str
    ) -> None:
        """Do as ``ask`` does and call ``then`` with what comes of it, without waiting. Raises ValueError."""
        action_id = f"{ACTION_ID_PREFIX}{next(self._numbers)}"
        lines = [("Action", action), ("ActionID", action_id), *fields.items()]
        lines += [("Variable", f"{name}={value}") for name, value in variables.items()]
        encoded = encode(lines)
        if self._is_over:
            then(GatewayUnavailable("the link is lost"))
            return
        self._questions[action_id] = _PendingAction(action, then, time.monotonic(), [])
        self._wire.send(encoded)

    async def _connect(self) -> None:
        options, loop = self._options, asyncio.get_running_loop()
        await loop.create_connection(lambda: self._wire, options.host, options.port, ssl=options.tls)

    async def _log_in(self) -> None:
        """Log in by a challenge, so that the secret is not sent."""
        options, events = self._options, "call" if self._hear else "off"
        try:
            challenge = (await self.ask("Challenge", AuthType="MD5")).message.get("Challenge")
            key = hashlib.md5(f"{challenge}{options.secret}".encode(), usedforsecurity=False).hexdigest()
            await self.ask("Login", AuthType="MD5", Username=options.user, Key=key, Events=events)
        except ActionRefused as error:
            raise LoginRefused("Login", error.reason) from None

    async def _hold(self) -> None:
        """Cut the link when an answer is overdue; ask for a sign of life when nothing is heard; tell when it is lost."""
        while not self._wire.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s / 4):
                    await self._wire.lost.wait()
            self._look_after(time.monotonic())
        self._let_go()

    def _look_after(self, now: float) -> None:
        oldest = next(iter(self._questions.values()), None)
        if oldest and now - oldest.asked_at > self._patience_s:
            _logger.warning("cutting the link to Asterisk, it is silent", action=oldest.action)
            self._wire.cut()
        elif not oldest and self._heard_at and now - self._heard_at > self._patience_s:
            self.send(_ignore, "Ping")

    async def _close(self) -> None:
        self._holding.cancel()
        await asyncio.wait([self._holding])
        self._let_go()

    def _let_go(self) -> None:
        self._is_over = True
        self._wire.cut()
        questions, self._questions = self._questions, {}
        for question in questions.values():
            metrics.ACTIONS.labels(question.action, "none").inc()
            question.then(GatewayUnavailable("the link was lost before the answer came"))

    def _heard(self, blocks: list[bytes]) -> None:
        """Read messages. Events that nobody asked for, and only those, have ``Privilege`` in their second line."""
        metrics.MESSAGES.inc(len(blocks))
        self._heard_at = time.monotonic()
        events: list[Message] = []
        for block in blocks:
            if block.startswith(b"Event: "):
                end = block.find(b"\r\n")
                if not block.startswith(b"Privilege: ", end + 2):
                    self._take_item(Message(block))
                elif block[7:end] in self._kinds:
                    events.append(Message(block))
            else:
                self._take_answer(Message(block))
        if events and self._hear:
            self._hear(self, events)

    def _take_answer(self, message: Message) -> None:
        question = self._questions.get(message.get("ActionID"))
        if question is None:
            return
        if message.get("Response") == "Error":
            reason = message.get("Message")
            self._settle(message, question, "refused", ActionRefused(question.action, reason))
            if reason == _STOPPING:
                self._wire.cut()  # it may linger with the link up, and do nothing more
        elif message.get("EventList") == "start":
            question.message = message
        else:
            self._settle(message, question, "done", Response(message))

    def _take_item(self, item: Message) -> None:
        question = self._questions.get(item.get("ActionID"))
        if question is None or question.message is None:
            return
        if item.get("EventList") == "Complete":
            self._settle(item, question, "done", Response(question.message, question.items))
            return
        question.items.append(item)
        if len(question.items) > _MOST_ITEMS:
            _logger.warning("cutting the link to Asterisk, its list has no end", action=question.action)
            self._wire.cut()

    def _settle(self, last: Message, question: _PendingAction, word: str, answer: Response | ActionRefused) -> None:
        del self._questions[last.get("ActionID")]
        metrics.ACTIONS.labels(question.action, word).inc()
        question.then(answer)


def _ignore(_: Response | GatewayUnavailable) -> None:
    pass
