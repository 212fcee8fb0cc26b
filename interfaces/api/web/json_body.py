"""JSON bodies: decoded strictly, and every fault told (http.md §2).

The framework's own decoding is lax, tells one fault only, and answers 500 to broken UTF-8 and deep nesting.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, cast, get_args, get_origin

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException
from litestar.types import Empty

from interfaces.api.web.request_errors import (
    ClientDisconnected,
    FieldError,
    InvalidRequest,
    Loc,
    RequestTimeout,
    UnsupportedMediaType,
    to_field_error,
)
from interfaces.api.web.times import is_representable, unrepresentable

BODY_BYTES_MAX = 8 << 20

_FAULTS_MAX = 50
_KEY_MAX = 100
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


class JsonRequest(Request[None, None, State]):
    """A request whose body is strict JSON of the type that the handler's ``data`` has."""

    seconds: ClassVar[float] = 30.0
    """How long a body may take: the server itself lets one trickle for ever."""

    async def body(self) -> bytes:
        """Answer the body. Raises TooSlow, ClientGone, and the framework's 413."""
        if self._body is not Empty:
            return self._body
        try:
            async with asyncio.timeout(self.seconds):
                return await super().body()
        except TimeoutError as error:
            raise RequestTimeout from error
        except InternalServerException as error:
            raise ClientDisconnected from error

    async def json(self) -> Any:
        """Answer the decoded body. Raises UnsupportedMedia and RequestInvalid, with up to 50 faults."""
        if self._json is Empty:
            field = self.route_handler.parsed_data_field
            self._json = decode_json(await self.json_text(), field.annotation if field else Any)
        return self._json

    async def json_text(self) -> bytes:
        """Answer the body that is said to be JSON, or nothing. Raises UnsupportedMedia, and as ``body`` does."""
        kind = self.content_type[0]
        if kind and kind != "application/json" and not kind.endswith("+json"):
            raise UnsupportedMediaType
        return await self.body()


def decode_json(body: bytes | msgspec.Raw, tp: Any, at: Loc = ("body",)) -> Any:
    """Answer the JSON text, which stands ``at`` that place, as a ``tp``. Raises RequestInvalid."""
    decoder = _decoders.get(tp)
    if decoder is None:
        decoder = _decoders[tp] = msgspec.json.Decoder(tp, strict=True)
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            found = list(islice(_faults(msgspec.json.decode(body), tp, at), _FAULTS_MAX))
            raise InvalidRequest(found or [to_field_error(at, str(error))]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        found = list(islice(_surrogates(bytes(body), at), _FAULTS_MAX))
        raise InvalidRequest(found or [FieldError(at, "Malformed JSON", "json_invalid")]) from error


def _faults(value: Any, tp: Any, at: Loc) -> Iterator[FieldError]:
    """Tell every fault of a decoded value; walks only into what fails."""
    try:
        good = msgspec.convert(value, tp, strict=True)
    except msgspec.ValidationError as error:
        whole = str(error).split(" - at `")[0]
    else:
        if isinstance(good, datetime) and not is_representable(good):
            yield unrepresentable(at)
        return
    for fault in _faults_inside(value, _struct_or_list(tp, value), at):
        whole = ""
        yield fault
    if whole:
        yield to_field_error(at, whole)


def _faults_inside(value: Any, tp: Any, at: Loc) -> Iterator[FieldError]:
    if tp is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _faults(item, get_args(tp)[0], (*at, index))
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(tp)}
    for name, field in fields.items():
        if name in value:
            yield from _faults(value[name], field.type, (*at, name))
        elif field.required:
            yield FieldError((*at, name), "Field required", "missing")
    if tp.__struct_config__.forbid_unknown_fields:
        yield from (
            FieldError((*at, key[:_KEY_MAX]), "Unknown field", "extra_forbidden") for key in value.keys() - fields
        )


def _struct_or_list(tp: Any, value: Any) -> Any:
    """Answer the struct or list that the value was meant for, seen through unions; None for others."""
    if get_origin(tp) in {Annotated, Union, UnionType}:
        return next((found for part in get_args(tp) if (found := _struct_or_list(part, value))), None)
    if isinstance(value, dict):
        return tp if isinstance(tp, type) and issubclass(tp, msgspec.Struct) else None
    return tp if isinstance(value, list) and get_origin(tp) is list else None


def _surrogates(body: bytes, root: Loc) -> Iterator[FieldError]:
    """Tell which texts hold half a surrogate pair: msgspec only says that the whole is malformed."""
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
            yield FieldError(at, "Expected no lone surrogate", "string_unicode")
        elif isinstance(value, list):
            waiting.extend(((*at, index), item) for index, item in enumerate(cast("list[Any]", value)))
        elif isinstance(value, dict):
            for key, item in cast("dict[str, Any]", value).items():
                if _SURROGATE.search(key):
                    yield FieldError(at, "Expected no lone surrogate in a key", "string_unicode")
                else:
                    waiting.append(((*at, key[:_KEY_MAX]), item))
