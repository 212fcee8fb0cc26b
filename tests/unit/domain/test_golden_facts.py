"""Golden files: a stored fact of every tag, which must stay readable. A diff here needs an upcaster."""

import json
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest

from domain.catalogue import FACTS, AnyFact
from domain.model import Fact, tag_of
from infrastructure.event_log.codec import UnknownFact, decode, encode
from infrastructure.event_log.upcasters import UPCASTERS

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("tag", sorted({*FACTS, *UPCASTERS}))
def test_the_stored_fact_reads_and_writes_as_its_golden_file_says(tag: str) -> None:
    for path in (GOLDEN / f"{tag}.json", GOLDEN / f"{tag}.least.json"):
        stored = path.read_bytes().strip()
        fact = decode(tag, stored)
        if tag in FACTS:
            assert type(fact) is FACTS[tag]
            assert json.loads(encode(fact)) == json.loads(stored), "the shape of a stored fact changed"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.before_*.json")), ids=lambda path: path.name)
def test_a_fact_that_was_stored_before_a_field_was_there_reads_as_if_it_was_empty(path: Path) -> None:
    tag = path.name.partition(".before_")[0]
    stored = path.read_bytes()
    fact = decode(tag, stored)
    assert type(fact) is FACTS[tag]
    assert _without_empty(json.loads(encode(fact))) == _without_empty(json.loads(stored))


def _without_empty(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    items = cast("dict[str, Any]", plain).items()
    return {name: _without_empty(value) for name, value in items if value not in (None, {}, [], False)}


def test_there_is_a_golden_file_for_each_tag_and_no_other() -> None:
    names = (path.name.removesuffix(".json").removesuffix(".least") for path in GOLDEN.glob("*.json"))
    assert {name.partition(".before_")[0] for name in names} == {*FACTS, *UPCASTERS}


def test_a_field_of_a_later_release_keeps_no_fact_from_being_read() -> None:
    """Check that older releases can read what this release writes, as they do during a rolling deployment."""
    for path in GOLDEN.glob("*.json"):
        tag = path.name.removesuffix(".json").removesuffix(".least").partition(".before_")[0]
        later = json.dumps(_with_more(json.loads(path.read_bytes()))).encode()
        assert decode(tag, later) == decode(tag, path.read_bytes())


def _with_more(plain: Any) -> Any:
    """Return a copy with one more field in every object whose keys are names of fields."""
    if not isinstance(plain, dict):
        return plain
    items = cast("dict[str, Any]", plain).items()
    more = {
        name: _with_more(value) if name not in {"outcomes", "limits"} else _with_more_in_each(value)
        for name, value in items
    }
    return {**more, "of_a_later_release": 1}


def _with_more_in_each(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: _with_more(value) for name, value in plain.items()}


def test_tags_are_unique_and_well_formed() -> None:
    facts = get_args(AnyFact)
    assert len({tag_of(fact) for fact in facts}) == len(facts)
    for tag in FACTS:
        aggregate, happened, version = tag.split(".")
        assert aggregate.isidentifier()
        assert happened.isidentifier()
        assert version[0] == "v"


def test_a_fact_that_nobody_knows_is_an_error_and_not_skipped() -> None:
    for topic, state in (("task.vanished.v1", b"{}"), ("task.filed.v1", b"{}"), ("task.started.v1", b"\xff")):
        with pytest.raises(UnknownFact):
            decode(topic, state)


def test_what_is_not_stored_is_none() -> None:
    """Check that None is the only default: with omit_defaults, another one could not be changed without changing history."""

    def nested(tp: type) -> list[type[msgspec.Struct]]:
        fields = msgspec.structs.fields(tp)
        inner = [
            field.type for field in fields if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        ]
        return [tp, *(one for found in inner if found.__struct_config__.omit_defaults for one in nested(found))]

    for fact in FACTS.values():
        for struct in nested(fact):
            for field in msgspec.structs.fields(struct):
                assert field.required or field.default is None, f"{struct.__name__}.{field.name}"
    assert Fact.__struct_config__.omit_defaults
