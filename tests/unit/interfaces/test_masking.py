"""Masking by type: what has no rule is masked, or refused."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from interfaces.api.web.masking import OwnId, PhoneNumber, mask


class Colour(StrEnum):
    RED = "red"


class Shown(msgspec.Struct, frozen=True):
    id: OwnId = "id"
    number: int = 7
    share: float | None = 0.5
    ready: bool = True
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    colour: Colour | None = Colour.RED
    word: Annotated[Literal["on", "off"], Meta(description="A word.")] = "on"


class Hidden(msgspec.Struct, frozen=True):
    text: str = "text"
    described: Annotated[str | None, Meta(description="A text.")] = "text"
    either: int | str = 7
    absent: str | None = None
    phone: PhoneNumber | None = "+77010001234"
    extended: PhoneNumber = "+77010001234;ext=123"


def test_numbers_times_words_and_own_ids_are_shown() -> None:
    assert mask(Shown()) == Shown()


def test_every_text_is_masked_and_of_a_phone_number_four_digits_stay() -> None:
    assert mask(Hidden()) == Hidden("***", "***", "***", None, "***1234", "***1234")


@pytest.mark.parametrize("tp", [Any, dict[str, Any], list[str], bytes, Shown])
def test_a_type_without_a_rule_is_refused(tp: Any) -> None:
    struct = msgspec.defstruct("Row", [("field", tp)])
    with pytest.raises(TypeError, match=r"Row\.field: no rule"):
        mask(struct(None))
