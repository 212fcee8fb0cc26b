"""Query strings and headers that ask for something, decoded into a struct with every fault told.

The framework's own decoding reads the text ``null`` as nothing, and raw UTF-8, as curl sends it, as Latin-1.
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
    """Answer what query string and headers ask for. Of a parameter that is repeated the last counts.

    Raises RequestInvalid on all that cannot be taken; parameters that the struct does not know are ignored.
    """
    query = request.scope["query_string"].decode("utf-8", "replace")
    texts = dict(parse_qsl(query, keep_blank_values=True))
    found: dict[str, Any] = {}
    faults: list[FieldError] = []
    for field, name, source, tp in param_fields(struct):
        text = request.headers.get(name) if source == "header" else texts.get(name)
        if text is not None:
            try:
                found[field] = msgspec.convert(text, tp, strict=False)
            except msgspec.ValidationError as error:
                faults.append(to_field_error((source, name), str(error)))
    if faults:
        raise InvalidRequest(faults)
    return struct(**found)


@cache
def param_fields(struct: type[msgspec.Struct]) -> list[tuple[str, str, str, Any]]:
    """Answer of each field its name here, its name in the request, where it stands (``query``, ``header``) and its type.

    What is None here is simply not there in a request, so the types are those without None. Headers are known by
    their capitals.
    """
    return list(_fields(struct))


def _fields(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, Any]]:
    for field in msgspec.structs.fields(struct):
        source = "header" if field.encode_name[0].isupper() else "query"
        yield field.name, field.encode_name, source, _not_none(field.type)


def _not_none(tp: Any) -> Any:
    if get_origin(tp) not in {Union, UnionType}:
        return tp
    return Union[tuple(part for part in get_args(tp) if part is not NoneType)]  # noqa: UP007 - made of a tuple
