"""The JSON Schemas of the OpenAPI document, and what each route takes and answers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import NoneType
from typing import Annotated, Any, cast, get_args, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.query_params import param_fields

_REF = "#/components/schemas/{name}"


def reference(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Answer the reference to a type's schema."""
    return {"$ref": _REF.format(name=struct.__name__)}


def body_type(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    """Answer the type of the body that the route takes, if any; one that it decodes by itself it says in ``opt``."""
    if "body" in handler.opt:
        return handler.opt["body"]
    return handler.parsed_data_field.annotation if handler.parsed_data_field else None


def answer_type(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    """Answer the type that the route answers, None for nothing; of a bare array, that of its elements."""
    answered = _answered(handler)
    return get_args(answered)[0] if get_origin(answered) is list else None if answered is NoneType else answered


def answers_many(handler: HTTPRouteHandler) -> bool:
    """Whether the route answers a bare array."""
    return get_origin(_answered(handler)) is list


def _answered(handler: HTTPRouteHandler) -> Any:
    annotation: Any = handler.parsed_fn_signature.return_type.annotation
    return get_args(annotation)[0] if get_origin(annotation) in {JsonResponse, Response} else annotation


def parameters(handler: HTTPRouteHandler) -> Iterator[dict[str, Any]]:
    """Answer the parameters of the route that are declared: those of its path as arguments, the others in ``opt``."""
    for name, field in handler.parsed_fn_signature.parameters.items():
        if isinstance(told := field.kwarg_definition, PathParameter):
            bounds: Any = {bound: value for bound in ("ge", "le") if (value := getattr(told, bound)) is not None}
            schema = {**_schema(Annotated[field.annotation, msgspec.Meta(**bounds)]), **(told.schema_extra or {})}
            yield {"name": name, "in": "path", "required": True, "schema": schema}
    if query := handler.opt.get("query"):
        fields = msgspec.structs.fields(query)
        for field, (_, name, source, tp) in zip(fields, param_fields(query), strict=True):
            schema = _schema(tp) | ({"default": field.default} if isinstance(field.default, bool | int) else {})
            described = {"description": schema.pop("description")} if "description" in schema else {}
            yield {"name": name, "in": source, "schema": schema, **described}


def schemas(structs: Sequence[type[msgspec.Struct]], handlers: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    """Answer the schemas of the types, of the types within them, and of the routes' parameters."""
    queries = [handler.opt["query"] for handler in handlers if "query" in handler.opt]
    asked = [tp for query in queries for _, _, _, tp in param_fields(query)]
    _, found = msgspec.json.schema_components([*structs, *asked], ref_template=_REF)
    for struct in _with_inner(structs):
        for field in msgspec.structs.fields(struct):
            if datetime in _parts(field.type):
                _tell_time(found[struct.__name__]["properties"][field.encode_name])
    return found


def _schema(tp: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([tp], ref_template=_REF)
    return schema


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
