"""Masking of responses: the list of what a caller without the permission to read personal data is shown, by type.

Shown are numbers, truth values, times and words of a fixed vocabulary, ids of this service (``OwnId``), and the last four
digits of a phone number (``PhoneNumber``). Every other text is masked, so a new field is masked until its type says otherwise.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Meta

from application.callers import Caller
from application.phones import split_extension
from application.task_search import sees_personal_data

S = TypeVar("S", bound=msgspec.Struct)

MASK = "***"
_LAST_DIGITS = 4
_OWN_ID, _PHONE_NUMBER = {"masking": "own id"}, {"masking": "phone number"}
_SHOWN = (int, float, datetime, Enum, NoneType)

OwnId = Annotated[str, Meta(extra=_OWN_ID)]
"""An id that this service created: it says nothing about a person."""

PhoneNumber = Annotated[str, Meta(extra=_PHONE_NUMBER)]
"""A phone number of a caller or client."""


def masked_for(caller: Caller, rows: Sequence[S]) -> list[S]:
    """Return the rows as the caller may see them."""
    return list(rows) if sees_personal_data(caller) else [mask(row) for row in rows]


def mask(row: S) -> S:
    """Return the row with every text masked that is not known to be harmless. Raises TypeError for a field without a rule."""
    changes = {name: _masked(getattr(row, name), is_phone=is_phone) for name, is_phone in _masked_fields(type(row))}
    return msgspec.structs.replace(row, **changes)


@cache
def _masked_fields(struct: type[msgspec.Struct]) -> Sequence[tuple[str, bool]]:
    """Return the names of the fields to mask, and whether each holds a phone number."""
    found: list[tuple[str, bool]] = []
    for field in msgspec.structs.fields(struct):
        rules = set(_rules(field.type))
        if "text" in rules or "phone number" in rules:
            found.append((field.name, "text" not in rules))
        elif unknown := rules - {"shown"}:
            raise TypeError(f"{struct.__name__}.{field.name}: no rule for {unknown}; give it a type of masking.py")
    return found


def _rules(tp: Any) -> Sequence[str]:
    """Return the rules of the parts of a type: ``shown``, ``text``, ``phone number``, or the name of an unknown type."""
    origin = get_origin(tp)
    if origin is Annotated:
        extras = [meta.extra for meta in tp.__metadata__ if isinstance(meta, Meta)]
        if _OWN_ID in extras:
            return ["shown"]
        return ["phone number"] if _PHONE_NUMBER in extras else _rules(get_args(tp)[0])
    if origin in {Union, UnionType}:
        return [rule for part in get_args(tp) for rule in _rules(part)]
    if origin is Literal:
        return ["shown"]
    if isinstance(tp, type) and issubclass(cast("type[object]", tp), _SHOWN):
        return ["shown"]
    return ["text"] if tp is str else [str(tp)]


def _masked(value: Any, *, is_phone: bool) -> str | None:
    if value is None:
        return None
    if not is_phone:
        return MASK
    number, _ = split_extension(value)
    return MASK + number[-_LAST_DIGITS:]
