"""Query strings and headers, decoded into a struct with every field error.

The framework's own decoding reads the text ``null`` as None, and raw UTF-8, as curl sends it, as Latin-1.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin
from urllib.parse import quote, unquote_to_bytes

import msgspec

from application.errors import ERRORS_MAX
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.request_errors import FieldError, InvalidRequest, to_field_error
from interfaces.api.web.times import decode_time

S = TypeVar("S", bound=msgspec.Struct)

_INTEGER = re.compile(r"-?[0-9]+")
_PARAMS_MAX = 100  # a query has room for 8,000, which took 35 ms
_NAME_MAX = 100
_IGNORED_NAME_MAX = 50
_IGNORED_NAMES_MAX = 10
_NOT_UTF_8 = "Expected text in UTF-8, percent-encoded; these bytes are another encoding, such as windows-1251"
_PLUS_HINT = "; a + in a query means a blank: send %2B for a plus sign"


class QueryParam(NamedTuple):
    """A parameter of a query string, before percent-decoding of its value."""

    name: str
    encoded: bytes

    @property
    def has_plus(self) -> bool:
        """True if a ``+`` of the value was read as a blank."""
        return b"+" in self.encoded

    def text(self) -> str:
        """Return the value. Raises ValidationError if it is not UTF-8."""
        try:
            return _unquoted(self.encoded).decode()
        except UnicodeDecodeError:
            raise msgspec.ValidationError(_NOT_UTF_8) from None


def decode_params(request: AnyRequest, struct: type[S]) -> S:
    """Decode query string and headers. If a parameter is repeated, its last value counts.

    Parameters that the struct does not have are ignored. Raises InvalidRequest with all field errors.
    """
    _check_number(request.scope["query_string"])
    query = {param.name: param for param in query_params(request.scope["query_string"])}
    values: dict[str, Any] = {}
    field_errors: list[FieldError] = []
    for field, name, source, tp in param_fields(struct):
        try:
            text = request.headers.get(name) if source == "header" else query[name].text() if name in query else None
            if text is not None:
                values[field] = _converted(text, tp)
        except msgspec.ValidationError as error:
            field_errors.append(to_field_error((source, name), str(error)))
    if field_errors:
        raise InvalidRequest(field_errors)
    return struct(**values)


async def refuse_unknown_params(request: AnyRequest) -> None:
    """Refuse query parameters that the route does not have, or that are repeated. Raises InvalidRequest."""
    query = request.scope["query_string"]
    if not query or request.method == "OPTIONS":
        return
    _check_number(query)
    known = _known_names(request)
    named = ", ".join(known) or "none"
    field_errors = [
        FieldError(("query", name[:_NAME_MAX]), f"Unknown query parameter; this route has: {named}", "extra_forbidden")
        if name not in known
        else FieldError(("query", name), f"Expected one value, not {count}", "value_error")
        for name, count in Counter(param.name for param in query_params(query)).items()
        if name not in known or count > 1
    ]
    if field_errors:
        raise InvalidRequest(field_errors[:ERRORS_MAX])


async def note_unknown_params(request: AnyRequest) -> None:
    """Set the names of query parameters that the route does not have in the context; responses name them.

    At most 10 names, percent-encoded, the first 50 characters of each: proxies refuse a response with a large head. Raises
    InvalidRequest for too many parameters.
    """
    query = request.scope["query_string"]
    if not query or request.method == "OPTIONS":
        return
    _check_number(query)
    known = _known_names(request)
    unknown = (param.name for param in query_params(query) if param.name and param.name not in known)
    names = dict.fromkeys(quote(name[:_IGNORED_NAME_MAX], safe="[]")[:_IGNORED_NAME_MAX] for name in unknown)
    context_of(request).ignored_params = ", ".join(islice(names, _IGNORED_NAMES_MAX))


def with_plus_hints(query: bytes, field_errors: Sequence[FieldError]) -> list[FieldError]:
    """Return the field errors with a hint at those query parameters in which a ``+`` was read as a blank."""
    if b"+" not in query:
        return list(field_errors)
    names = {param.name for param in query_params(query) if param.has_plus}
    return [
        error._replace(message=error.message + _PLUS_HINT)
        if error.loc[0] == "query" and error.loc[1] in names
        else error
        for error in field_errors
    ]


def query_params(query: bytes) -> Iterator[QueryParam]:
    """Yield the parameters of a query string, in their order, at most 100."""
    for pair in query.split(b"&", _PARAMS_MAX)[:_PARAMS_MAX]:
        if pair:
            name, _, value = pair.partition(b"=")
            yield QueryParam(_unquoted(name).decode("utf-8", "replace"), value)


@cache
def param_fields(struct: type[msgspec.Struct]) -> list[tuple[str, str, str, Any]]:
    """Return name in the struct, name in the request, source (``query`` or ``header``) and type of each field.

    Types have no None: an absent parameter is None. A name in the request that starts with a capital is a header.
    """
    return list(_fields(struct))


def _check_number(query: bytes) -> None:
    if query.count(b"&") >= _PARAMS_MAX:
        names = [param.name for param in query_params(query)]
        message = f"Expected at most {_PARAMS_MAX} query parameters; this is the last that was read"
        raise InvalidRequest([FieldError(("query", names[-1][:_NAME_MAX] if names else ""), message, "too_long")])


def _unquoted(encoded: bytes) -> bytes:
    return unquote_to_bytes(encoded.replace(b"+", b" "))


def _converted(text: str, tp: Any) -> Any:
    """Return the value of a parameter's text. An integer consists of digits: msgspec would also accept 1.0 and 1e1."""
    if _is_integer(tp) and not _INTEGER.fullmatch(text):
        raise msgspec.ValidationError("Expected `int` in decimal digits")
    return msgspec.convert(text, tp, strict=False, dec_hook=decode_time)


@cache
def _is_integer(tp: Any) -> bool:
    return tp is int or (get_origin(tp) is Annotated and _is_integer(get_args(tp)[0]))


def _known_names(request: AnyRequest) -> Sequence[str]:
    struct = request.route_handler.opt.get("query")
    return _query_names(struct) if struct else ()


@cache
def _query_names(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(sorted(name for _, name, source, _ in param_fields(struct) if source == "query"))


def _fields(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, Any]]:
    for field in msgspec.structs.fields(struct):
        source = "header" if field.encode_name[0].isupper() else "query"
        yield field.name, field.encode_name, source, _without_none(field.type)


def _without_none(tp: Any) -> Any:
    if get_origin(tp) not in {Union, UnionType}:
        return tp
    return Union[tuple(part for part in get_args(tp) if part is not NoneType)]  # noqa: UP007 - made of a tuple
