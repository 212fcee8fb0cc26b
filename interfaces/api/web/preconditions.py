"""Entity tags and Idempotency-Key (RFC 9110 §13; ``docs/contracts/tasks.md``, Behaviour).

The entity tag of a task is its version in quotes.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable

from application.callers import Request
from application.errors import PreconditionFailed, TaskNotFound
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.field_types import TASK_ID
from interfaces.api.web.request_errors import FieldError, IfMatchMalformed, IfMatchOnCreation, InvalidRequest

_TASK_ID = re.compile(TASK_ID)
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_NO_VERSION = 0


def task_id_of(request: AnyRequest) -> str:
    """Return the task id in the path. Raises TaskNotFound for text that cannot be one."""
    task_id: str = request.path_params["task_id"]
    if not _TASK_ID.fullmatch(task_id):
        raise TaskNotFound
    return task_id


def entity_tag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def if_none_match(request: AnyRequest, version: int) -> bool:
    """Return whether ``If-None-Match`` names the version, so that the client has it already; weak tags match too."""
    header = ",".join(request.headers.getall("if-none-match", []))
    if header.strip() == "*":
        return True
    return entity_tag(version) in (tag.removeprefix("W/") for tag in re.findall(_TAG, header))


async def check_if_match(request: AnyRequest) -> None:
    """Check that If-Match matches the task's current version, and set that version in the context.

    Runs before the body is read. A stale version with an Idempotency-Key passes, and the use case decides: the client may
    have lost the first response. Raises TaskNotFound, PreconditionFailed (stale), IfMatchMalformed.
    """
    context = context_of(request)
    if b"if-match" not in context.headers:
        return
    header = ",".join(request.headers.getall("if-match"))
    version = await context.api.services.tasks.version(task_id_of(request), context.organization_id)
    if header.strip() == "*":
        return
    if not _TAGS.fullmatch(header):
        raise IfMatchMalformed
    if entity_tag(version) in re.findall(_TAG, header):
        context.if_match = version
    elif request.method == "POST" and b"idempotency-key" in context.headers:
        context.if_match = _NO_VERSION
    else:
        raise PreconditionFailed(version)


async def check_no_if_match(request: AnyRequest) -> None:
    """Check that a request that creates a task has no If-Match. Raises IfMatchOnCreation."""
    if b"if-match" in context_of(request).headers:
        raise IfMatchOnCreation


async def idempotent_request(request: AnyRequest) -> Request:
    """Return what a use case needs to know of the request, with the Idempotency-Key of a POST.

    Raises InvalidRequest on ``Idempotency-Key``.
    """
    context = context_of(request)
    key = context.headers.get(b"idempotency-key") if request.method == "POST" else None
    if key is None:
        return context.command_request()
    if not _KEY.fullmatch(key):
        message = "Expected 1 to 255 visible ASCII characters without spaces"
        raise InvalidRequest([FieldError(("header", "Idempotency-Key"), message, "string_pattern_mismatch")])
    parts = (request.method.encode(), request.scope["path"].encode(), await request.body())
    return Request(
        request_id=context.ids.recorded,
        caller=context.caller,
        if_match=context.if_match,
        idempotency_key=key.decode(),
        fingerprint=hashlib.sha256(b"\0".join(parts)).digest(),
    )


def refuse_idempotency_key(reason: str) -> Callable[[AnyRequest], Awaitable[None]]:
    """Return a check that refuses an Idempotency-Key with InvalidRequest, instead of ignoring it silently."""
    error = FieldError(("header", "Idempotency-Key"), f"Not supported here: {reason}", "not_supported")

    async def check(request: AnyRequest) -> None:
        if b"idempotency-key" in context_of(request).headers:
            raise InvalidRequest([error])

    return check
