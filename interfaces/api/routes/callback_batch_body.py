"""The body of up to 10,000 callbacks, decoded a few at a time: other requests have their turn, and memory is bounded."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from application.cooperative import yielding
from application.new_callbacks import FAULTS_MAX, NewCallback
from domain.errors import InvalidField
from domain.limits import NEW_CALLBACKS_MAX
from interfaces.api.routes.queue_bodies import NewCallbackBody, to_new_callback
from interfaces.api.web.json_body import JsonRequest, decode_json
from interfaces.api.web.request_errors import FieldError, InvalidRequest

_COMMAS_UNSUSPICIOUS = 500_000
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]')


class _Envelope(msgspec.Struct):
    tasks: msgspec.Raw


async def callbacks_in(request: JsonRequest) -> Sequence[NewCallback]:
    """Answer the callbacks that the body asks for, in their order.

    Raises UnsupportedMedia, and RequestInvalid with up to 50 faults, such as on ``tasks``, 3, ``a_number``.
    """
    tasks = decode_json(await request.json_text(), _Envelope).tasks
    if _holds_too_many(tasks):
        raise _number_of_callbacks()
    elements: list[msgspec.Raw] = decode_json(tasks, list[msgspec.Raw], ("body", "tasks"))
    if not 1 <= len(elements) <= NEW_CALLBACKS_MAX:
        raise _number_of_callbacks()
    now, wanted, faults = datetime.now(UTC), list[NewCallback](), list[FieldError]()
    async for index, element in yielding(enumerate(elements)):
        try:
            wanted.append(to_new_callback(decode_json(element, NewCallbackBody, ("body", "tasks", index)), now))
        except InvalidRequest as error:
            faults.extend(error.faults)
        except InvalidField as error:
            faults.append(FieldError(("body", "tasks", index, error.field), str(error), error.kind))
        if len(faults) >= FAULTS_MAX:
            break
    if faults:
        raise InvalidRequest(faults[:FAULTS_MAX])
    return wanted


def _number_of_callbacks() -> InvalidRequest:
    return InvalidRequest(
        [FieldError(("body", "tasks"), f"Expected 1 to {NEW_CALLBACKS_MAX} callbacks", "list_length")]
    )


def _holds_too_many(array: msgspec.Raw) -> bool:
    """Count a suspiciously long array's elements before any is made: millions fit into a body, and none is small then."""
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
