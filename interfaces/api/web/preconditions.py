"""Entity tags and Idempotency-Key (RFC 9110 §13, contract 1, Behaviour).

The entity tag of a task is its version in quotes.
"""

import hashlib
import re

from application.callers import Request
from application.errors import PreconditionFailed, TaskNotFound
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.request_errors import FieldError, InvalidRequest

_TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_NO_VERSION = 0


def task_id_of(request: AnyRequest) -> str:
    """Answer the task id in the path. Raises TaskNotFound for what cannot be one."""
    task_id: str = request.path_params["task_id"]
    if not _TASK_ID.fullmatch(task_id):
        raise TaskNotFound
    return task_id


def entity_tag(version: int) -> str:
    """Answer the entity tag of a version."""
    return f'"{version}"'


def if_none_match(request: AnyRequest, version: int) -> bool:
    """Whether the client has that version already; weak tags count here."""
    header = ",".join(request.headers.getall("if-none-match", []))
    if header.strip() == "*":
        return True
    return entity_tag(version) in (tag.removeprefix("W/") for tag in re.findall(_TAG, header))


async def check_if_match(request: AnyRequest) -> None:
    """Check of changes: note the version that If-Match names, if it stands.

    Raises TaskNotFound, and PreconditionFailed when the header is stale or malformed. Before anything else, also before the
    body is looked at; but a stale one with an Idempotency-Key is left to the use case: the answer may have been lost.
    """
    context = context_of(request)
    if b"if-match" not in context.headers:
        return
    header = ",".join(request.headers.getall("if-match"))
    version = await context.api.services.tasks.version(task_id_of(request), context.member.organization_id)
    if header.strip() == "*":
        return
    if not _TAGS.fullmatch(header):
        raise PreconditionFailed
    if entity_tag(version) in re.findall(_TAG, header):
        context.if_match = version
    elif request.method == "POST" and b"idempotency-key" in context.headers:
        context.if_match = _NO_VERSION
    else:
        raise PreconditionFailed


async def check_no_if_match(request: AnyRequest) -> None:
    """Check of filing: nothing exists yet that If-Match could name. Raises PreconditionFailed."""
    if b"if-match" in context_of(request).headers:
        raise PreconditionFailed


async def command_request(request: AnyRequest) -> Request:
    """Answer what a use case needs to know of the request. Raises RequestInvalid on ``Idempotency-Key``."""
    context = context_of(request)
    key = context.headers.get(b"idempotency-key") if request.method == "POST" else None
    if key is None:
        return Request(request_id=context.request_id, caller=context.caller, if_match=context.if_match)
    if not _KEY.fullmatch(key):
        message = "Expected 1 to 255 visible ASCII characters"
        raise InvalidRequest([FieldError(("header", "Idempotency-Key"), message, "string_pattern_mismatch")])
    parts = (request.method.encode(), request.scope["path"].encode(), await request.body())
    return Request(
        request_id=context.request_id,
        caller=context.caller,
        if_match=context.if_match,
        idempotency_key=key.decode(),
        fingerprint=hashlib.sha256(b"\0".join(parts)).digest(),
    )
