"""JSON bodies: strict decoding that reports every field error of an ordinary body, and the first one of a long body.

The framework's own decoding is lax, reports one error only, and fails with 500 on invalid UTF-8 and deep nesting. A body
is read only as far as its share of the memory for bodies allows (``body_budget``).
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from math import inf
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, cast, get_args, get_origin

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException
from litestar.types import Empty

from application.errors import ERRORS_MAX
from interfaces.api.web.body_budget import UNBUDGETED_BYTES
from interfaces.api.web.body_encoding import check_content_coding, malformed_json
from interfaces.api.web.context import address_of, context_of
from interfaces.api.web.http_metrics import count_refusal
from interfaces.api.web.request_errors import (
    ClientDisconnected,
    FieldError,
    InvalidRequest,
    Loc,
    RequestTimeout,
    UnsupportedMediaType,
    to_field_error,
)
from interfaces.api.web.times import decode_time

BODY_BYTES_MAX = 8 << 20

EXAMINED_BYTES_MAX = 256 << 10
"""Bytes of a body that are examined for its field errors: decoding 8 MiB once more, into objects, took up to 10 seconds."""

WALKED_BYTES_MAX = 16 << 10
"""Bytes of a body in which the place of half a surrogate pair is found, in objects: 256 KiB took 70 ms."""

_KEY_MAX = 100
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")
_MEMBER_ERRORS = (  # msgspec's messages that name a member of the object at the path, and the field errors of these members
    (re.compile("Object missing required field `(.*)`", re.DOTALL), "Field required", "missing"),
    (re.compile("Object contains unknown field `(.*)`", re.DOTALL), "Unknown field", "extra_forbidden"),
)
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


class JsonRequest(Request[None, None, State]):
    """A request whose body is strict JSON of the type of the handler's ``data``."""

    seconds: ClassVar[float] = 30.0
    """Seconds within which the whole body must arrive: the server itself has no limit for a slow body."""
    grace_seconds: ClassVar[float] = 10.0
    """Seconds after which a body that holds memory must arrive at a minimum rate."""
    pace_seconds: ClassVar[float] = 60.0
    """Seconds in which a body would fill the memory that it holds, at the minimum rate."""

    async def body(self) -> bytes:
        """Return the body. Raises RequestTimeout, ClientDisconnected, ShareExhausted, and the framework's 413."""
        if self._body is Empty:
            try:
                async with asyncio.timeout(self.seconds) as deadline:
                    self._body = await self._read(deadline)
            except TimeoutError as error:
                count_refusal("body_late")
                raise RequestTimeout from error
            except InternalServerException as error:
                raise ClientDisconnected from error
        return self._body

    async def _read(self, deadline: asyncio.Timeout) -> bytes:
        """Read the body. The bytes that it may have are taken from the budget before more than a read buffer is read.

        From then on each chunk moves the deadline, so a body that trickles holds them for little more than the grace.
        """
        limit = self.route_handler.resolve_request_max_body_size() or BODY_BYTES_MAX
        context, announced, body = context_of(self), self.content_length, bytearray()
        end = begun = 0.0
        async for chunk in self.stream():
            body += chunk
            if len(body) > UNBUDGETED_BYTES and context.body_bytes is None:
                context.body_bytes = await context.api.bodies.take(context.caller, address_of(self), announced or limit)
                end, begun = deadline.when() or inf, asyncio.get_running_loop().time()
            if context.body_bytes is not None:
                paid_s = self.pace_seconds * len(body) / context.body_bytes.size
                deadline.reschedule(min(end, begun + self.grace_seconds + paid_s))
        return cast("bytes", body)  # every reader takes any buffer, and a copy of 8 MiB would hold the event loop up

    async def json(self) -> Any:
        """Return the decoded body. Raises UnsupportedMediaType, and InvalidRequest with up to 50 field errors."""
        if self._json is Empty:
            field = self.route_handler.parsed_data_field
            tp = field.annotation if field else Any
            self._json = decode_json(without_repeated_members(await self.json_text(), tp), tp)
        return self._json

    async def json_text(self) -> bytes:
        """Return the body if its Content-Type is JSON or absent. Raises UnsupportedMediaType, and as ``body`` does."""
        kind = self.content_type[0]
        if kind and kind != "application/json" and not kind.endswith("+json"):
            raise UnsupportedMediaType
        check_content_coding(self)
        return await self.body()


def decode_json(
    body: bytes | msgspec.Raw, tp: Any, at: Loc = ("body",), *, examined_max: int = EXAMINED_BYTES_MAX
) -> Any:
    """Decode JSON into a ``tp``; ``at`` is its location in the request.

    Raises InvalidRequest: with up to 50 field errors, of a body longer than ``examined_max`` bytes with the first one.
    """
    size = len(memoryview(body))
    is_short = size <= examined_max
    try:
        try:
            return _decoder(tp).decode(body)
        except msgspec.ValidationError as error:
            if not is_short:
                raise InvalidRequest([_first_error(at, str(error))]) from error
            found = list(islice(_field_errors(body, tp, at), ERRORS_MAX))
            raise InvalidRequest(found or [to_field_error(at, str(error))]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        is_walked = is_short and size <= WALKED_BYTES_MAX
        found = list(islice(_surrogates(bytes(body), at), ERRORS_MAX)) if is_walked else []
        raise InvalidRequest(found or [malformed_json(memoryview(body), error, at)]) from error


def _decoder(tp: Any) -> msgspec.json.Decoder[Any]:
    decoder = _decoders.get(tp)
    if decoder is None:
        decoder = _decoders[tp] = msgspec.json.Decoder(tp, strict=True, dec_hook=decode_time)
    return decoder


def without_repeated_members(body: bytes | msgspec.Raw, tp: Any, at: Loc = ("body",)) -> bytes | msgspec.Raw:
    """Return a long object with each member of the struct ``tp`` once: of a repeated one the last counts.

    The decoder creates and checks the value of each repetition: 8 MiB of ``"title":"a",`` took 0.3 s. Other bodies are
    returned as they are. Raises InvalidRequest if the body is malformed or has unknown members that ``tp`` forbids.
    """
    if len(memoryview(body)) <= EXAMINED_BYTES_MAX or not (isinstance(tp, type) and issubclass(tp, msgspec.Struct)):
        return body
    return msgspec.json.encode(decode_json(body, _with_raw_members(tp), at, examined_max=0))


@cache
def _with_raw_members(tp: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return a struct with the members of ``tp``, all optional and not decoded."""
    members = [(field.encode_name, msgspec.Raw, msgspec.Raw()) for field in msgspec.structs.fields(tp)]
    return msgspec.defstruct("RawMembers", members, omit_defaults=True, forbid_unknown_fields=_forbids(tp), gc=False)


def _first_error(at: Loc, message: str) -> FieldError:
    """Return the field error of msgspec's message, which ends with the path of the invalid part."""
    reason, _, path = message.partition(" - at `$")
    inside = [name[:_KEY_MAX] if name else int(index) for name, index in _PATH_STEP.findall(path.removesuffix("`"))]
    for known, text, kind in _MEMBER_ERRORS:
        if member := known.fullmatch(reason):
            return FieldError((*at, *inside, member[1][:_KEY_MAX]), text, kind)
    return to_field_error((*at, *inside), reason)


def _field_errors(value: bytes | msgspec.Raw, tp: Any, at: Loc) -> Iterator[FieldError]:
    """Yield every field error of a JSON value. Only invalid members of known names are decoded, and never into objects."""
    try:
        _decoder(tp).decode(value)
    except msgspec.ValidationError as error:
        whole = str(error).split(" - at `")[0]
    else:
        return
    for error in _errors_inside(value, tp, at):
        whole = ""
        yield error
    if whole:
        yield to_field_error(at, whole)


def _errors_inside(value: bytes | msgspec.Raw, tp: Any, at: Loc) -> Iterator[FieldError]:
    kind = bytes(value).lstrip()[:1]
    if kind == b"[" and (array := _part_of(tp, lambda part: get_origin(part) is list)):
        for index, item in enumerate(_decoder(list[msgspec.Raw]).decode(value)):
            yield from _field_errors(item, get_args(array)[0], (*at, index))
    elif kind == b"{" and (
        struct := _part_of(tp, lambda part: isinstance(part, type) and issubclass(part, msgspec.Struct))
    ):
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        members = _decoder(dict[str, msgspec.Raw] if _forbids(struct) else _with_raw_members(struct)).decode(value)
        given = _given(members)
        for name, field in fields.items():
            if name in given:
                yield from _field_errors(given[name], field.type, (*at, name))
            elif field.required:
                yield FieldError((*at, name), "Field required", "missing")
        for key in given.keys() - fields:
            yield FieldError((*at, key[:_KEY_MAX]), "Unknown field", "extra_forbidden")


def _given(members: Any) -> dict[str, msgspec.Raw]:
    if isinstance(members, dict):
        return cast("dict[str, msgspec.Raw]", members)
    values = zip(members.__struct_encode_fields__, msgspec.structs.astuple(members), strict=True)
    return {name: value for name, value in values if value}


def _forbids(struct: type[msgspec.Struct]) -> bool:
    return struct.__struct_config__.forbid_unknown_fields


def _part_of(tp: Any, fits: Callable[[Any], bool]) -> Any:
    """Return the part of a union that fits, or the type itself if it does; None if there is none."""
    if get_origin(tp) in {Annotated, Union, UnionType}:
        return next((found for part in get_args(tp) if (found := _part_of(part, fits))), None)
    return tp if fits(tp) else None


def _surrogates(body: bytes, root: Loc) -> Iterator[FieldError]:
    """Yield the texts with half a surrogate pair: msgspec reports only that the whole body is malformed."""
    if not _SURROGATE_ESCAPE.search(body):
        return
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return
    waiting: list[tuple[Loc, Any]] = [(root, value)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, str) and _SURROGATE.search(value):
            yield FieldError(at, "Expected text without lone surrogates", "string_unicode")
        elif isinstance(value, list):
            waiting.extend(((*at, index), item) for index, item in enumerate(cast("list[Any]", value)))
        elif isinstance(value, dict):
            for key, item in cast("dict[str, Any]", value).items():
                if _SURROGATE.search(key):
                    yield FieldError(at, "Expected keys without lone surrogates", "string_unicode")
                else:
                    waiting.append(((*at, key[:_KEY_MAX]), item))
