"""Validation of up to 10,000 new callbacks, without blocking the event loop."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from application.cooperative import yielding
from application.dial_policy import DialPolicy
from application.errors import ERRORS_MAX, InvalidFields
from application.phones import line
from application.webhook_targets import BadTarget, TargetPolicy, check_target
from domain.callback.events import CallbackDetails, CallbackScheduled
from domain.errors import InvalidField
from domain.limits import DEFAULT_PAUSE_S, DEFAULT_TRIES
from domain.streams import callback_stream


class NewCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to schedule: numbers and URLs as the client sent them; ``try_again_pause`` is in seconds."""

    a_number: str
    b_number: str
    start_time: datetime
    name: str | None = None
    extension_id: int | None = None
    try_count: int = DEFAULT_TRIES
    try_again_pause: int = DEFAULT_PAUSE_S
    url_before: str | None = None
    url_before_again: str | None = None
    url_success: str | None = None
    url_after: str | None = None


class NewCallbackFacts:
    """Builds the facts of new callbacks in a queue. An error names its field by index, such as ``tasks[3].a_number``."""

    def __init__(self, queue_id: int, region: str, policy: DialPolicy, targets: TargetPolicy) -> None:
        """Read national numbers as numbers of ``region``; allow those of the ``policy``, and webhooks to ``targets``."""
        self._queue_id = queue_id
        self._region = region
        self._policy = policy
        self._targets = targets
        self._errors: list[InvalidField] = []

    async def build(
        self, organization_id: int, new: Sequence[NewCallback], ids: Sequence[int]
    ) -> list[CallbackScheduled]:
        """Return a fact for each callback, in their order. Raises InvalidFields, with up to 50 errors."""
        facts: list[CallbackScheduled] = []
        async for index, (callback, callback_id) in yielding(enumerate(zip(new, ids, strict=True)), organization_id):
            facts.append(self._fact(index, callback, callback_id))
            if len(self._errors) >= ERRORS_MAX:
                break
        if self._errors:
            raise InvalidFields(self._errors[:ERRORS_MAX])
        return facts

    def _fact(self, index: int, new: NewCallback, callback_id: int) -> CallbackScheduled:
        return CallbackScheduled(
            queue_id=self._queue_id,
            try_count=new.try_count,
            try_again_pause=new.try_again_pause,
            start_time=new.start_time,
            personal=CallbackDetails(
                subject=callback_stream(callback_id),
                a_number=self._line(index, "a_number", new.a_number),
                b_number=self._line(index, "b_number", new.b_number),
                name=new.name,
            ),
            extension_id=new.extension_id,
            url_before=self._target(index, "url_before", new.url_before),
            url_before_again=self._target(index, "url_before_again", new.url_before_again),
            url_success=self._target(index, "url_success", new.url_success),
            url_after=self._target(index, "url_after", new.url_after),
        )

    def _line(self, index: int, field: str, text: str) -> str:
        try:
            number = line(text, self._region, field)
            self._policy.require(number, field)
        except InvalidField as error:
            self._errors.append(InvalidField(f"tasks[{index}].{field}", str(error), error.kind))
            return text
        return number

    def _target(self, index: int, field: str, url: str | None) -> str | None:
        try:
            if url is not None:
                check_target(url, self._targets)
        except BadTarget as error:
            self._errors.append(InvalidField(f"tasks[{index}].{field}", str(error), error.kind))
        return url
