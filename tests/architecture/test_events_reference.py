"""The published event reference matches the code: page, JSON Schemas and golden files agree."""

from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from domain.catalogue import FACTS
from tests.events_reference import GOLDEN, PAGE, ROOT, SCHEMAS, reference, schema_of

GOLDEN_FILES = sorted(GOLDEN.glob("*.json"))
REGENERATE = "regenerate it: .venv/bin/python -m tests.events_reference"


@pytest.mark.parametrize("path", [PAGE, *(SCHEMAS / f"{tag}.schema.json" for tag in FACTS)], ids=str)
def test_the_published_file_is_current(path: Path) -> None:
    published = ROOT / path
    assert published.is_file(), REGENERATE
    assert published.read_text(encoding="utf-8") == reference()[path], REGENERATE


def test_no_schema_is_published_for_a_tag_that_does_not_exist() -> None:
    published = {path.relative_to(ROOT) for path in (ROOT / SCHEMAS).iterdir()}
    assert published == reference().keys() - {PAGE}, REGENERATE


def test_each_tag_has_a_section() -> None:
    page = reference()[PAGE]
    assert [tag for tag in FACTS if f"\n### {tag}\n" not in page] == []


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_each_golden_file_is_valid_by_its_schema(path: Path) -> None:
    fact = msgspec.json.decode(path.read_bytes())
    jsonschema_rs.validator_for(schema_of(fact["type"]), validate_formats=True).validate(fact)


def test_a_fact_with_a_wrong_field_is_invalid() -> None:
    fact = msgspec.json.decode((GOLDEN / "task.filed.v1.json").read_bytes())
    validator = jsonschema_rs.validator_for(schema_of("task.filed.v1"), validate_formats=True)
    assert validator.is_valid(fact)
    assert not validator.is_valid({**fact, "priority": "soon"})
    assert not validator.is_valid({**fact, "due_date": "tomorrow"})
