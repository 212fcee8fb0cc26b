"""The body of up to 10,000 callbacks, decoded in small steps: other requests are served between them, and memory is bounded."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from application.cooperative import yielding
from application.errors import ERRORS_MAX
from application.new_callbacks import NewCallback
from domain.errors import InvalidField
from domain.limits import NEW_CALLBACKS_MAX
from interfaces.api.routes.queue_bodies import NewCallbackBody, to_new_callback
from interfaces.api.web.context import context_of
from interfaces.api.web.json_body import EXAMINED_BYTES_MAX, JsonRequest, decode_json, without_repeated_members
from interfaces.api.web.request_errors import FieldError, InvalidRequest

_SHORT_BYTES = 64 << 10


class _Envelope(msgspec.Struct):
    tasks: list[msgspec.Raw]


class _LongEnvelope(msgspec.Struct):
    tasks: msgspec.Raw  # an array is created only for the last of repeated members


async def decode_callbacks(request: JsonRequest) -> Sequence[NewCallback]:
    """Return the callbacks of the body, in their order.

    Raises UnsupportedMediaType, and InvalidRequest with up to 50 field errors, such as at ``tasks``, 3, ``a_number``.
    """
    elements = elements_of(await request.json_text())
    now, callbacks, errors = datetime.now(UTC), list[NewCallback](), list[FieldError]()
    examined_max = EXAMINED_BYTES_MAX
    async for index, element in yielding(enumerate(elements), context_of(request).organization_id):
        at = ("body", "tasks", index)
        try:
            text = without_repeated_members(element, NewCallbackBody, at)
            body = decode_json(text, NewCallbackBody, at, examined_max=examined_max)
            callbacks.append(to_new_callback(body, now))
        except InvalidRequest as error:
            errors.extend(error.field_errors)
            examined_max = max(0, examined_max - len(memoryview(element)))
        except InvalidField as error:
            errors.append(FieldError((*at, error.field), str(error), error.kind))
        if len(errors) >= ERRORS_MAX:
            break
    if errors:
        raise InvalidRequest(errors[:ERRORS_MAX])
    return callbacks


def elements_of(body: bytes) -> Sequence[msgspec.Raw]:
    """Return the elements of ``tasks``. Raises InvalidRequest, for too many elements before they are created.

    A body has room for millions of elements, and each would take much more memory than its text.
    """
    elements = _elements_of_long_body(body) if len(body) > _SHORT_BYTES else decode_json(body, _Envelope).tasks
    if not 1 <= len(elements) <= NEW_CALLBACKS_MAX:
        raise _wrong_number()
    return elements


def _elements_of_long_body(body: bytes) -> Sequence[msgspec.Raw]:
    try:
        tasks = decode_json(body, _LongEnvelope, examined_max=0).tasks
        array = decode_json(tasks, _bounded_array(), ("body", "tasks"), examined_max=0)
    except InvalidRequest as error:
        if "at most length" in error.field_errors[0].message:
            raise _wrong_number() from error
        raise
    return [element for element in msgspec.structs.astuple(array) if element]


@cache
def _bounded_array() -> Any:
    """Return an array whose decoding stops behind the greatest number of elements; that of a list creates all of them."""
    fields = [(f"element_{index}", msgspec.Raw, msgspec.Raw()) for index in range(NEW_CALLBACKS_MAX)]
    return msgspec.defstruct("BoundedArray", fields, array_like=True, forbid_unknown_fields=True, gc=False)


def _wrong_number() -> InvalidRequest:
    return InvalidRequest(
        [FieldError(("body", "tasks"), f"Expected 1 to {NEW_CALLBACKS_MAX} callbacks", "list_length")]
    )
