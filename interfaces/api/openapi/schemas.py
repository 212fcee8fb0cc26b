"""JSON Schemas of the OpenAPI document, and the parameters, body and response types of handlers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import NoneType
from typing import Annotated, Any, cast, get_args, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from interfaces.api.openapi.descriptions import DESCRIPTIONS
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.query_params import param_fields
from interfaces.api.web.times import RequestTime

_REF = "#/components/schemas/{name}"


def reference(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the reference to the schema of a type."""
    return {"$ref": _REF.format(name=struct.__name__)}


def body_type(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    """Return the type of the handler's body, None without one. A handler that decodes it by itself declares it in ``opt``."""
    if "body" in handler.opt:
        return handler.opt["body"]
    return handler.parsed_data_field.annotation if handler.parsed_data_field else None


def response_type(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    """Return the type of the handler's response, None without content; for a list, the type of its elements."""
    return_type = _return_type(handler)
    if get_origin(return_type) is list:
        return get_args(return_type)[0]
    return None if return_type is NoneType else return_type


def returns_list(handler: HTTPRouteHandler) -> bool:
    """Return whether the response is a bare array."""
    return get_origin(_return_type(handler)) is list


def _return_type(handler: HTTPRouteHandler) -> Any:
    annotation: Any = handler.parsed_fn_signature.return_type.annotation
    return get_args(annotation)[0] if get_origin(annotation) in {JsonResponse, Response} else annotation


def parameters(handler: HTTPRouteHandler) -> Iterator[dict[str, Any]]:
    """Yield the parameters of the handler: path parameters that are arguments, and those of the struct in ``opt``."""
    for name, field in handler.parsed_fn_signature.parameters.items():
        if isinstance(declared := field.kwarg_definition, PathParameter):
            bounds: Any = {bound: value for bound in ("ge", "le") if (value := getattr(declared, bound)) is not None}
            schema = {**_schema(Annotated[field.annotation, msgspec.Meta(**bounds)]), **(declared.schema_extra or {})}
            yield {"name": name, "in": "path", "required": True, "schema": schema, **_description(handler, name)}
    if query := handler.opt.get("query"):
        fields = msgspec.structs.fields(query)
        for field, (_, name, source, tp) in zip(fields, param_fields(query), strict=True):
            schema = _schema(tp) | ({"default": field.default} if isinstance(field.default, bool | int) else {})
            described = {"description": lifted} if (lifted := _lifted(schema)) else _description(handler, name)
            yield {"name": name, "in": source, "schema": schema, **described}


def schemas(structs: Sequence[type[msgspec.Struct]], handlers: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    """Return the schemas of the types, of the types within them, and of the handlers' parameters."""
    queries = [handler.opt["query"] for handler in handlers if "query" in handler.opt]
    parameter_types = [tp for query in queries for _, _, _, tp in param_fields(query)]
    _, found = msgspec.json.schema_components([*structs, *parameter_types], schema_hook=_time, ref_template=_REF)
    for struct in _with_inner(structs):
        for field in msgspec.structs.fields(struct):
            if datetime in _parts(field.type):
                _set_date_time(found[struct.__name__]["properties"][field.encode_name])
    for name, schema in found.items():
        describe(name, schema)
        complete_types(schema)
    return found


def complete_types(schema: dict[str, Any]) -> None:
    """Set the types that generators of clients need: that of words, and of a field that accepts only null so far."""
    if "enum" in schema:
        schema["type"] = "string"
    elif schema.get("type") == "null":
        schema["type"] = ["integer", "null"]
    for part in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        if part != {"type": "null"}:
            complete_types(part)


def describe(name: str, schema: dict[str, Any]) -> None:
    """Describe each property of a schema, with its default: a property with ``default`` is required in generated clients."""
    for field, part in schema.get("properties", {}).items():
        default = part.pop("default", None)
        text = _lifted(part) or DESCRIPTIONS.get(f"{name}.{field}") or DESCRIPTIONS.get(field, "")
        is_told = default in (None, [], {}) or "efault" in text
        part["description"] = text if is_told else f"{text} Default: {msgspec.json.encode(default).decode()}."


def _description(handler: HTTPRouteHandler, name: str) -> dict[str, str]:
    return {"description": DESCRIPTIONS.get(f"{handler.operation_id}.{name}") or DESCRIPTIONS.get(name, "")}


def _lifted(schema: dict[str, Any]) -> str:
    """Remove and return the description of a schema, or that of its only alternative to null."""
    for part in (schema, *schema.get("anyOf", ())):
        if text := part.pop("description", ""):
            return text
    return ""


def _schema(tp: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([tp], schema_hook=_time, ref_template=_REF)
    return schema


def _time(tp: type) -> dict[str, Any]:
    """Return the schema of a time of a request, for msgspec, which does not know the type."""
    if tp is not RequestTime:
        raise NotImplementedError(tp)
    return {"type": "string", "format": "date-time"}


def _set_date_time(schema: dict[str, Any]) -> None:
    """Set the format date-time of a time: msgspec omits it when times without a zone are accepted too."""
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
