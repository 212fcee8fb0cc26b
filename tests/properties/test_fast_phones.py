"""The fast path for reading numbers returns the same results as phonenumbers."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.phones import e164, read_as_number
from domain.errors import InvalidField

CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
DIGITS = st.text("0123456789", min_size=0, max_size=17)


def of_code(code: int) -> st.SearchStrategy[str]:
    return DIGITS.map(lambda digits: f"+{code}{digits}")


def fast_path(text: str, region: str) -> str | None:
    try:
        return e164(text, region, "number")
    except InvalidField:
        return None


@settings(max_examples=2000)
@given(text=st.sampled_from(CODES).flatmap(of_code) | DIGITS.map("+{}".format), region=st.sampled_from(REGIONS))
def test_any_number_with_a_plus_is_read_as_phonenumbers_reads_it(text: str, region: str) -> None:
    assert fast_path(text, region) == read_as_number(text, region)


@pytest.mark.parametrize("code", CODES)
def test_examples_of_every_country_code_in_every_length_are_read_alike(code: int) -> None:
    for digits in (
        "70100010011234567",
        "80012345678901234",
        "12345678901234567",
        "99912345678901234",
        "01234567890123456",
    ):
        for length in range(18):
            text = f"+{code}{digits[:length]}"
            assert fast_path(text, "KZ") == read_as_number(text, "KZ"), text


@pytest.mark.parametrize(
    "text", ["+77010001001\n", "+7٧010001001", " +77010001001", "++77010001001", "+77010001001;ext=5"]
)
def test_what_only_looks_like_e164_is_read_alike(text: str) -> None:
    assert fast_path(text, "KZ") == read_as_number(text, "KZ")
