"""Every tag has a golden file: a stored fact as it will be read for ever. A diff here needs an upcaster."""

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from domain.catalogue import FACTS, AnyFact
from domain.model import Fact, tag_of
from infrastructure.event_mapper import UnknownFact, decode, encode
from infrastructure.upcasters import UPCASTERS

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("tag", sorted({*FACTS, *UPCASTERS}))
def test_the_stored_fact_reads_and_writes_as_its_golden_file_says(tag: str) -> None:
    for path in (GOLDEN / f"{tag}.json", GOLDEN / f"{tag}.least.json"):
        stored = path.read_bytes().strip()
        fact = decode(tag, stored)
        if tag in FACTS:
            assert type(fact) is FACTS[tag]
            assert json.loads(encode(fact)) == json.loads(stored), "the shape of a stored fact changed"


def test_there_is_a_golden_file_for_each_tag_and_no_other() -> None:
    known = {path.name.removesuffix(".json").removesuffix(".least") for path in GOLDEN.glob("*.json")}
    assert known == {*FACTS, *UPCASTERS}


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
    """omit_defaults: another default than None could not be changed without changing history."""

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
