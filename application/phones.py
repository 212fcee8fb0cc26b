"""Phone numbers, normalised."""

import re

import phonenumbers

from domain.errors import InvalidField

_EXTENSION = re.compile(r"[0-9]{2,8}")
_KIND = "phone_number"


def e164(text: str, region: str, field: str) -> str:
    """Answer the number in E.164; a national one is read as of ``region`` (ISO 3166 alpha-2).

    Raises InvalidField on ``field`` for what cannot be a phone number.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        raise InvalidField(field, "Expected a phone number", _KIND) from error
    # is_possible_number() would also take a number without its area code, which nobody can dial from here.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise InvalidField(field, "Expected a phone number", _KIND)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def line(text: str, region: str, field: str) -> str:
    """Answer an extension of 2 to 8 digits as it is, any other number in E.164. Raises InvalidField."""
    return text if _EXTENSION.fullmatch(text) else e164(text, region, field)


def known_region(region: str) -> bool:
    """Whether phone numbers of that region (ISO 3166 alpha-2) are known."""
    return region in phonenumbers.SUPPORTED_REGIONS
