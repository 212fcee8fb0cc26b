"""Normalisation of phone numbers to E.164."""

import re
from functools import cache, lru_cache

import phonenumbers

from domain.errors import InvalidField
from domain.limits import EXTENSION_MAX, EXTENSION_MIN

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_EXTENSION = re.compile(rf"[0-9]{{{EXTENSION_MIN},{EXTENSION_MAX}}}")
_KIND = "phone_number"


def e164(text: str, region: str, field: str) -> str:
    """Return the number in E.164. A national number belongs to ``region`` (ISO 3166 alpha-2).

    Raises InvalidField on ``field`` for a text that cannot be a phone number.
    """
    number = text if _is_plainly_e164(text) else read_as_number(text, region)
    if number is None:
        raise InvalidField(field, "Expected a phone number", _KIND)
    return number


@lru_cache(maxsize=4096)
def read_as_number(text: str, region: str) -> str | None:
    """Return the number in E.164, None if the text cannot be one. Takes about 50 µs."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # is_possible_number() also accepts a number without its area code, which cannot be dialled from here.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_plainly_e164(text: str) -> bool:
    """Return whether the text is already in E.164, judged by the lengths of the numbers of its country code.

    Never true for a text that ``read_as_number`` would reject or change. Takes less than a microsecond.
    """
    if not _E164.fullmatch(text):
        return False
    for end in (2, 3, 4):
        plan = _plan(text[1:end])
        if plan is not None:
            lengths, stripped = plan
            return len(text) - end in lengths and text[end] != "0" and not stripped.match(text, end)
    return False


@cache
def _plan(country_code: str) -> tuple[frozenset[int], re.Pattern[str]] | None:
    """Return the lengths of a country code's numbers and the prefix to strip from them; None if the code does not exist."""
    code = int(country_code)
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0]) if regions else None
    if metadata is None or metadata.general_desc is None:
        return None
    stripped = re.compile(metadata.national_prefix_for_parsing or r"(?!)")
    return frozenset(metadata.general_desc.possible_length), stripped


def line(text: str, region: str, field: str) -> str:
    """Return an extension of 2 to 8 digits unchanged, any other number in E.164. Raises InvalidField."""
    return text if _EXTENSION.fullmatch(text) else e164(text, region, field)


def known_region(region: str) -> bool:
    """Return whether the phone numbers of that region (ISO 3166 alpha-2) are known."""
    return region in phonenumbers.SUPPORTED_REGIONS
