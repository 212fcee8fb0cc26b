"""The JSON Schemas of the OpenAPI document, and what each route takes and answers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg

_REF = "#/components/schemas/{name}"
_BOUNDS = ("ge", "le", "min_length", "max_length", "pattern")


def reference(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Answer the reference to a type's schema."""
    return {"$ref": _REF.format(name=struct.__name__)}


def body_type(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    """Answer the type of the body that the route takes, if any."""
    return handler.parsed_data_field.annotation if handler.parsed_data_field else None


def answer_type(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    """Answer the type that the route answers, None for nothing."""
    annotation: Any = handler.parsed_fn_signature.return_type.annotation
    answered = get_args(annotation)[0] if get_origin(annotation) is Response else annotation
    return None if answered is NoneType else answered


def parameters(handler: HTTPRouteHandler) -> Iterator[tuple[str, ParameterKwarg, dict[str, Any]]]:
    """Answer name, declaration and schema of each query, header and path parameter of the route."""
    for name, field in handler.parsed_fn_signature.parameters.items():
        if isinstance(told := field.kwarg_definition, ParameterKwarg):
            yield getattr(told, "name", None) or name, told, _parameter_schema(field.annotation, field.default, told)


def schemas(structs: Sequence[type[msgspec.Struct]], handlers: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    """Answer the schemas of the types, of the types within them, and of the routes' parameters."""
    fields = [field for handler in handlers for field in handler.parsed_fn_signature.parameters.values()]
    enums = [_not_none(field.annotation) for field in fields if isinstance(field.kwarg_definition, ParameterKwarg)]
    _, found = msgspec.json.schema_components([*structs, *enums], ref_template=_REF)
    for struct in _with_inner(structs):
        for field in msgspec.structs.fields(struct):
            if datetime in _parts(field.type):
                _tell_time(found[struct.__name__]["properties"][field.encode_name])
    return found


def _parameter_schema(annotation: Any, default: Any, told: ParameterKwarg) -> dict[str, Any]:
    bounds: Any = {name: bound for name in _BOUNDS if (bound := getattr(told, name)) is not None}
    parameter = Annotated[_not_none(annotation), msgspec.Meta(**bounds)]
    (schema,), _ = msgspec.json.schema_components([parameter], ref_template=_REF)
    unless_given = {"default": default} if isinstance(default, bool | int) else {}
    return {**schema, **unless_given, **(told.schema_extra or {})}


def _not_none(tp: Any) -> Any:
    if get_origin(tp) not in {Union, UnionType}:
        return tp
    return Union[tuple(part for part in get_args(tp) if part is not NoneType)]  # noqa: UP007 - made of a tuple


def _tell_time(schema: dict[str, Any]) -> None:
    """Say date-time of a text that is a time: msgspec does not when one without a zone is taken too."""
    for part in cast("list[dict[str, Any]]", schema.get("anyOf", [schema])):
        if part.get("type") == "string":
            part["format"] = "date-time"


def _with_inner(structs: Sequence[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    found: set[type[msgspec.Struct]] = set()
    waiting: list[Any] = list(structs)
    while waiting:
        tp = waiting.pop()
        if isinstance(tp, type) and issubclass(tp, msgspec.Struct) and tp not in found:
            found.add(tp)
            waiting.extend(part for field in msgspec.structs.fields(tp) for part in _parts(field.type))
    return found


def _parts(tp: Any) -> set[Any]:
    return {tp}.union(*map(_parts, get_args(tp)))
