"""The body of up to 10,000 callbacks, decoded in small steps: other requests are served between them, and memory is bounded."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from application.cooperative import yielding
from application.new_callbacks import ERRORS_MAX, NewCallback
from domain.errors import InvalidField
from domain.limits import NEW_CALLBACKS_MAX
from interfaces.api.routes.queue_bodies import NewCallbackBody, to_new_callback
from interfaces.api.web.json_body import JsonRequest, decode_json
from interfaces.api.web.request_errors import FieldError, InvalidRequest

_COMMAS_UNSUSPICIOUS = 500_000
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]')


class _Envelope(msgspec.Struct):
    tasks: msgspec.Raw


async def decode_callbacks(request: JsonRequest) -> Sequence[NewCallback]:
    """Return the callbacks of the body, in their order.

    Raises UnsupportedMediaType, and InvalidRequest with up to 50 field errors, such as at ``tasks``, 3, ``a_number``.
    """
    tasks = decode_json(await request.json_text(), _Envelope).tasks
    if _has_too_many(tasks):
        raise _wrong_number()
    elements: list[msgspec.Raw] = decode_json(tasks, list[msgspec.Raw], ("body", "tasks"))
    if not 1 <= len(elements) <= NEW_CALLBACKS_MAX:
        raise _wrong_number()
    now, callbacks, errors = datetime.now(UTC), list[NewCallback](), list[FieldError]()
    async for index, element in yielding(enumerate(elements)):
        try:
            callbacks.append(to_new_callback(decode_json(element, NewCallbackBody, ("body", "tasks", index)), now))
        except InvalidRequest as error:
            errors.extend(error.field_errors)
        except InvalidField as error:
            errors.append(FieldError(("body", "tasks", index, error.field), str(error), error.kind))
        if len(errors) >= ERRORS_MAX:
            break
    if errors:
        raise InvalidRequest(errors[:ERRORS_MAX])
    return callbacks


def _wrong_number() -> InvalidRequest:
    return InvalidRequest(
        [FieldError(("body", "tasks"), f"Expected 1 to {NEW_CALLBACKS_MAX} callbacks", "list_length")]
    )


def _has_too_many(array: msgspec.Raw) -> bool:
    """Count the elements of an array with very many commas before any is created.

    A body has room for millions of elements, and each would take much more memory than its text.
    """
    text = memoryview(array)
    if bytes(text).count(b",") < _COMMAS_UNSUSPICIOUS:
        return False
    depth = elements = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
            case b"," if depth == 1:
                elements += 1
                if elements >= NEW_CALLBACKS_MAX:
                    return True
            case _:
                pass
    return False
