"""Path parameters: those of ``docs/contracts/task_scheduler.md`` (client, queue, callback), and the integers of ``/v1``."""

import re
from collections.abc import Sequence
from functools import cache

from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter

from application.errors import CallbackNotFound, NotFound, QueueNotFound
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.request_errors import ClientNotFound, FieldError, InvalidRequest

CLIENT_BASE_PATHS = ("/api/ver1.0/client", "/client")

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_DIGITS = re.compile(r"-?[0-9]+")


async def check_own_client(request: AnyRequest) -> None:
    """Check that the path names the caller's own organisation. Raises ClientNotFound."""
    client_id = request.path_params["client_id"]
    if client_id not in {"@me", str(context_of(request).organization_id)}:
        raise ClientNotFound


def queue_id_of(request: AnyRequest) -> int:
    """Return the number of the queue in the path. Raises QueueNotFound for text that cannot be one."""
    return _number(request.path_params["scheduler_id"], QueueNotFound)


def callback_id_of(request: AnyRequest) -> int:
    """Return the number of the callback in the path. Raises CallbackNotFound for text that cannot be one."""
    return _number(request.path_params["task_id"], CallbackNotFound)


async def check_integers(request: AnyRequest) -> None:
    """Check that the integers in the path consist of digits: the framework reads 1.0 and 1e0 as 1. Raises InvalidRequest."""
    for name in _integers_of(request.route_handler):
        if not _DIGITS.fullmatch(request.path_params[name]):
            raise InvalidRequest([FieldError(("path", name), "Expected an integer in decimal digits", "int_parsing")])


@cache
def _integers_of(handler: BaseRouteHandler) -> Sequence[str]:
    """Return the names of the path parameters that the handler takes as integers."""
    parameters = handler.parsed_fn_signature.parameters
    return [
        name
        for name, field in parameters.items()
        if field.annotation is int and isinstance(field.kwarg_definition, PathParameter)
    ]


def _number(text: str, not_found: type[NotFound]) -> int:
    if not _NUMBER.fullmatch(text):
        raise not_found
    return int(text)
