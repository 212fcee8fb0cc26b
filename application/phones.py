"""Reading of phone numbers: one parser for all that enters, over HTTP, on the command line and in settings.

A number is stored in E.164. An extension behind a number (``+7 727 250 00 01 ext. 12``) is kept as RFC 3966 writes it,
``+77272500001;ext=12``, and its digits are sent after the answer. A number of 2 to 8 digits by itself is an extension of
the switch. Which numbers may be dialled is decided by ``dial_policy``.

The whole text must be the number. ``phonenumbers`` looks for a number within a text and drops the rest: a name before it, a
second number behind it, a star or a letter inside it. Then another number is dialled than the one that was written.
"""

import re
import unicodedata
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber

from domain.errors import InvalidField
from domain.limits import EXTENSION_MAX, EXTENSION_MIN

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_EXTENSION = re.compile(rf"[0-9]{{{EXTENSION_MIN},{EXTENSION_MAX}}}")
_EXT = ";ext="
_KIND = "phone_number"
_TEXT_MAX = 250
_BLANKS = " \t\r\n"
_RUN = re.compile(r"[ \t]{2,}")
_DASHES = "\u2212\u30fc"  # minus sign, and the long vowel mark that stands for a dash in Japanese numbers
_LABELS = r"e?xt(?:ensi(?:o\u0301?|\u00f3))?n?|доб(?:авочный)?|дод(?:атковий)?|вн(?:утр(?:енний|ішній)?)?|ішкі|anexo"
_TEXT = re.compile(
    rf"""
    (?:tel:[ \t]*)?
    (?P<number> [ \t(\[]* \+? [0-9 \t()\[\]./-]+ )
    (?: (?: ;ext= | [ \t,]*(?:{_LABELS})[:.]?[ \t,-]* ) (?P<labelled>[0-9]{{1,20}}) \#?\)?
      | (?: [ \t,]*(?:x|х|\#|~|int)[:.]? | [ \t]*(?:;|,+)[:.]? ) [ \t,-]* (?P<marked>[0-9]{{1,9}}) \#?\)?
    )?
    (?: ;phone-context=(?P<context>\+[0-9().-]+) )?
    [ .]*
    """,
    re.VERBOSE | re.IGNORECASE,
)


def e164(text: str, region: str, field: str) -> str:
    """Return the number in E.164, with its extension if it has one. A national number belongs to ``region``.

    A number in full form, with ``+``, must have a possible length, and any digit that is left out of it must be a prefix of
    a valid number, as in ``+44 (0)20``. Any other must be a valid number, because with a digit missing it would be another
    person's. Raises InvalidField on ``field``.
    """
    number = text if is_plainly_e164(text) else read_as_number(text, region)
    if number is None:
        raise InvalidField(field, _complaint(text, region), _KIND)
    return number


def line(text: str, region: str, field: str) -> str:
    """Return an extension of 2 to 8 digits in ASCII digits, any other number as ``e164`` does. Raises InvalidField."""
    plain = _in_plain_digits(text)
    return plain if _EXTENSION.fullmatch(plain) else e164(plain, region, field)


def split_extension(number: str) -> tuple[str, str]:
    """Return the number to dial, and the digits to send after the answer; usually none."""
    dialled, _, digits = number.partition(_EXT)
    return dialled, digits


@lru_cache(maxsize=4096)
def read_as_number(text: str, region: str) -> str | None:
    """Return the number in E.164 with its extension, None if the text cannot be one. Takes about 50 µs."""
    number = _parsed(text, region)
    if number is None or not _can_be_dialled(number):
        return None
    dialled = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{dialled}{_EXT}{number.extension}" if number.extension else dialled


def is_plainly_e164(text: str) -> bool:
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


def known_region(region: str) -> bool:
    """Return whether the phone numbers of that region (ISO 3166 alpha-2) are known."""
    return region in phonenumbers.SUPPORTED_REGIONS


def _parsed(text: str, region: str) -> PhoneNumber | None:
    if len(text) > _TEXT_MAX:
        return None
    # Each blank of a run may belong to any part of the pattern: a text of blanks would take milliseconds.
    found = _TEXT.fullmatch(_RUN.sub(" ", _in_plain_digits(text).strip(_BLANKS)))
    if found is None:
        return None
    try:
        # In RFC 3966, a global number has no context: two plus signs are no number.
        number = phonenumbers.parse((found["context"] or "") + found["number"], region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None
    number.extension = found["labelled"] or found["marked"]
    return number


def _can_be_dialled(number: PhoneNumber) -> bool:
    if not number.national_number:  # zeros alone; format_number() would return them as they were written
        return False
    # is_possible_number() also accepts a number without its area code, which cannot be dialled from here.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return False
    if _is_in_full(number) and _digits_of(number) == f"{number.country_code}{_national(number)}":
        return True
    return phonenumbers.is_valid_number(number) and not _may_lack_its_plus(number)


def _is_in_full(number: PhoneNumber) -> bool:
    return number.country_code_source == phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_PLUS_SIGN


def _may_lack_its_plus(number: PhoneNumber) -> bool:
    """Return whether the text is also a number in full form whose ``+`` was forgotten, and no usual national form.

    In Germany, 49 1512 3456789 is a valid national number without its zero, and the mobile number +49 1512 3456789.
    """
    national, code = _national(number), str(number.country_code)
    if _digits_of(number) != national or not national.startswith(code):
        return False
    metadata = PhoneMetadata.metadata_for_region(phonenumbers.region_code_for_number(number) or "", None)
    if not metadata or not metadata.national_prefix:  # such as Italy, where the digits are written as they are dialled
        return False
    in_full = PhoneNumber(country_code=number.country_code, national_number=int(national[len(code) :] or 0))
    return phonenumbers.is_valid_number(in_full)


def _national(number: PhoneNumber) -> str:
    return phonenumbers.national_significant_number(number)


def _digits_of(number: PhoneNumber) -> str:
    """Return the digits as they were written."""
    return phonenumbers.normalize_digits_only(number.raw_input or "")


def _complaint(text: str, region: str) -> str:
    number = _parsed(text, region)
    if number is None:
        return "Expected a phone number and nothing else: without a name, letters, `*` or a second number; an extension as `ext. 12`"
    if _is_in_full(number):
        return "Expected a phone number"
    return f"Expected a phone number that exists in {region}: check its digits, or write it in full, with + and the country code"


def _in_plain_digits(text: str) -> str:
    """Return the text with ASCII digits, blanks and dashes in place of other Unicode ones, without invisible characters."""
    return text if text.isascii() else "".join(map(_plain, text))


def _plain(char: str) -> str:
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    category = unicodedata.category(char)
    if category == "Cf":  # such as marks of the writing direction, which phones add to the numbers that they copy
        return ""
    if category == "Pd" or char in _DASHES:
        return "-"
    compatible = unicodedata.normalize("NFKC", char)
    has_digit = any(one.isdecimal() for one in compatible)  # as the mark of a footnote, which is no digit of a number
    return char if has_digit else compatible


@cache
def _plan(country_code: str) -> tuple[frozenset[int], re.Pattern[str]] | None:
    """Return the lengths of a country code's numbers and the prefix to strip from them; None if the code does not exist."""
    code = int(country_code)
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0]) if regions else None
    if metadata is None or metadata.general_desc is None:
        return None
    stripped = re.compile(metadata.national_prefix_for_parsing or r"(?!)")
    return frozenset(metadata.general_desc.possible_length), stripped
