"""Path parameters of ``docs/contracts/task_scheduler.md``: client (the caller's organisation), queue and callback."""

import re

from application.errors import CallbackNotFound, NotFound, QueueNotFound
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.request_errors import ClientNotFound

CLIENT_BASE_PATHS = ("/api/ver1.0/client", "/client")

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


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


def _number(text: str, not_found: type[NotFound]) -> int:
    if not _NUMBER.fullmatch(text):
        raise not_found
    return int(text)
