"""Query strings and headers, decoded into a struct with every field error.

The framework's own decoding reads the text ``null`` as None, and raw UTF-8, as curl sends it, as Latin-1.
"""

from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from interfaces.api.web.context import AnyRequest
from interfaces.api.web.request_errors import FieldError, InvalidRequest, to_field_error

S = TypeVar("S", bound=msgspec.Struct)


def decode_params(request: AnyRequest, struct: type[S]) -> S:
    """Decode query string and headers. If a parameter is repeated, its last value counts.

    Parameters that the struct does not have are ignored. Raises InvalidRequest with all field errors.
    """
    query = request.scope["query_string"].decode("utf-8", "replace")
    texts = dict(parse_qsl(query, keep_blank_values=True))
    values: dict[str, Any] = {}
    field_errors: list[FieldError] = []
    for field, name, source, tp in param_fields(struct):
        text = request.headers.get(name) if source == "header" else texts.get(name)
        if text is not None:
            try:
                values[field] = msgspec.convert(text, tp, strict=False)
            except msgspec.ValidationError as error:
                field_errors.append(to_field_error((source, name), str(error)))
    if field_errors:
        raise InvalidRequest(field_errors)
    return struct(**values)


@cache
def param_fields(struct: type[msgspec.Struct]) -> list[tuple[str, str, str, Any]]:
    """Return name in the struct, name in the request, source (``query`` or ``header``) and type of each field.

    Types have no None: an absent parameter is None. A name in the request that starts with a capital is a header.
    """
    return list(_fields(struct))


def _fields(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, Any]]:
    for field in msgspec.structs.fields(struct):
        source = "header" if field.encode_name[0].isupper() else "query"
        yield field.name, field.encode_name, source, _without_none(field.type)


def _without_none(tp: Any) -> Any:
    if get_origin(tp) not in {Union, UnionType}:
        return tp
    return Union[tuple(part for part in get_args(tp) if part is not NoneType)]  # noqa: UP007 - made of a tuple
