"""Dial policy: which numbers an organisation may call (docs/adr/0018-which-numbers-are-dialled.md).

Asked when a callback is scheduled, and again when it is dialled. Pure: the rules come from the organisation's settings, the
knowledge of numbers from ``phonenumbers``.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache, cached_property, lru_cache

import msgspec
import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberType, shortnumberinfo

from application.phones import is_plainly_e164, split_extension
from domain.errors import InvalidField
from domain.organization.events import Settings

NEVER_DIALLED = frozenset({"112", "911", "999", "000"})
_NO_REGION = "001"  # of country codes that belong to no region: satellites, international freephone and premium numbers
_SHORT_NATIONAL_MAX = 6
_RANGE = re.compile(r"\s*([0-9]{2,8})\s*(?:-\s*([0-9]{2,8})\s*)?")

_TYPES = {
    PhoneNumberType.FIXED_LINE: "fixed_line",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed_line_or_mobile",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.PREMIUM_RATE: "premium_rate",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
    PhoneNumberType.UNKNOWN: "unknown",
}
NUMBER_TYPES = frozenset(_TYPES.values())
EXPENSIVE_TYPES = frozenset({"premium_rate", "shared_cost"})
DEFAULT_TYPES = NUMBER_TYPES - EXPENSIVE_TYPES


class Rule(StrEnum):
    """A rule that forbids a number. The words are stable: they are codes of errors, and parts of ``finish_comment``."""

    EMERGENCY_NUMBER = "emergency_number"
    SHORT_NUMBER = "short_number"
    EXTENSION_NOT_ALLOWED = "extension_not_allowed"
    REGION_NOT_ALLOWED = "region_not_allowed"
    NUMBER_TYPE_NOT_ALLOWED = "number_type_not_allowed"


_MESSAGES = {
    Rule.EMERGENCY_NUMBER: "This is, or begins with, an emergency number: these are never called",
    Rule.SHORT_NUMBER: "This is a short number of the public network; `extensions` of the organisation does not name it",
    Rule.EXTENSION_NOT_ALLOWED: "This extension is not among the `extensions` of the organisation",
    Rule.REGION_NOT_ALLOWED: "The organisation does not call numbers of this region",
    Rule.NUMBER_TYPE_NOT_ALLOWED: "The organisation does not call numbers of this type, such as premium-rate numbers",
}


class _Key(msgspec.Struct, frozen=True):
    """The settings that a policy depends on."""

    region: str
    regions: tuple[str, ...] | None
    types: tuple[str, ...] | None
    extensions: str | None
    only_extensions: bool


class DialPolicy:
    """The numbers that an organisation may call. Equal settings share one policy, with what it has found out."""

    def __init__(self, key: _Key) -> None:
        self._region = key.region
        self._regions = frozenset(key.regions or regions_of_code(key.region))
        self._types = frozenset(key.types) if key.types else DEFAULT_TYPES
        self._extensions = parse_ranges(key.extensions or "")
        self._only_extensions = key.only_extensions
        self._verdicts = lru_cache(maxsize=4096)(self._examine)

    def broken_rule(self, number: str) -> Rule | None:
        """Return the rule that forbids the number, as ``phones.line`` returned it; None if it may be called.

        Takes a microsecond for most numbers, and 0.1 ms for others when they are examined first.
        """
        dialled, _ = split_extension(number)
        return None if self._is_surely_allowed(dialled) else self._verdicts(dialled)

    def require(self, number: str, field: str) -> None:
        """Raise InvalidField on ``field``, with the rule as its kind, if the number may not be called."""
        if rule := self.broken_rule(number):
            raise InvalidField(field, f"{rule}: {_MESSAGES[rule]}", rule)

    def _is_surely_allowed(self, dialled: str) -> bool:
        """Return whether the number is of a country code that is open, and certainly of no expensive type."""
        for prefix, doubtful in self._open_codes:
            if dialled.startswith(prefix):
                is_short = len(dialled) <= len(prefix) + _SHORT_NATIONAL_MAX
                # phonenumbers may strip a prefix from another spelling, and find an expensive number behind it.
                return not is_short and is_plainly_e164(dialled) and not doubtful.fullmatch(dialled, len(prefix))
        return False

    @cached_property
    def _open_codes(self) -> Sequence[tuple[str, re.Pattern[str]]]:
        """The country codes whose numbers may all be called, except expensive, short and emergency numbers."""
        if not self._types >= DEFAULT_TYPES:
            return ()
        codes = {phonenumbers.country_code_for_region(region) for region in self._regions}
        whole = [code for code in sorted(codes) if self._regions.issuperset(_regions_of(code))]
        return [(f"+{code}", _doubtful_numbers(code)) for code in whole]

    def _examine(self, dialled: str) -> Rule | None:
        if not dialled.startswith("+"):
            return self._examine_extension(dialled)
        try:
            return self._examine_number(phonenumbers.parse(dialled, None))
        except phonenumbers.NumberParseException:  # stored by an older release that knew other numbers
            return Rule.REGION_NOT_ALLOWED

    def _examine_extension(self, digits: str) -> Rule | None:
        regions = {self._region, *self._regions}
        # Zeros get a line of many switches, and are the prefix of national numbers.
        if any(_begins_with_emergency_number(candidate, regions) for candidate in (digits, digits.lstrip("0"))):
            return Rule.EMERGENCY_NUMBER
        if any(len(first) == len(digits) and first <= digits <= last for first, last in self._extensions):
            return None
        if self._only_extensions:
            return Rule.EXTENSION_NOT_ALLOWED
        return Rule.SHORT_NUMBER if _is_short_number(digits, self._region) else self._examine_local_number(digits)

    def _examine_local_number(self, digits: str) -> Rule | None:
        """Return the rule for digits that a switch passes to its trunk: numbers of some countries have 6 to 8 digits."""
        if len(digits) < _shortest_number(self._region):
            return None
        try:
            number = phonenumbers.parse(digits, self._region)
        except phonenumbers.NumberParseException:
            return None
        if phonenumbers.is_valid_number(number):
            return self._examine_number(number)
        return None if self._allows_type(number) else Rule.NUMBER_TYPE_NOT_ALLOWED

    def _examine_number(self, number: PhoneNumber) -> Rule | None:
        regions = _regions_of(number.country_code or 0)
        region = phonenumbers.region_code_for_number(number)
        if rule := _rule_of_short_number(number, {region, *regions} if region else regions):
            return rule
        # A number that no region has assigned counts as one of each region of its country code.
        if _NO_REGION in regions or self._regions.isdisjoint([region] if region else regions):
            return Rule.REGION_NOT_ALLOWED
        return None if self._allows_type(number) else Rule.NUMBER_TYPE_NOT_ALLOWED

    def _allows_type(self, number: PhoneNumber) -> bool:
        name = _TYPES[phonenumbers.number_type(number)]
        if name == "fixed_line_or_mobile":
            return not self._types.isdisjoint({name, "mobile", "fixed_line"})
        if name == "unknown" and _begins_with_expensive_number(number, EXPENSIVE_TYPES - self._types):
            return False
        return name in self._types


def policy_of(settings: Settings) -> DialPolicy:
    """Return the dial policy of an organisation with these settings."""
    return _policy(
        _Key(
            region=settings.home_region or settings.region,
            regions=tuple(settings.dial_regions) if settings.dial_regions else None,
            types=tuple(settings.dial_types) if settings.dial_types else None,
            extensions=settings.extensions,
            only_extensions=settings.only_extensions,
        )
    )


def regions_of_code(region: str) -> tuple[str, ...]:
    """Return all regions that share the country code of a region."""
    return _regions_of(phonenumbers.country_code_for_region(region))


def parse_ranges(text: str) -> Sequence[tuple[str, str]]:
    """Return the ranges of ``100-199, 2000-2999, 3001``. Raises InvalidField on ``extensions``."""
    ranges: list[tuple[str, str]] = []
    for part in text.split(",") if text.strip() else ():
        found = _RANGE.fullmatch(part)
        first, last = (found[1], found[2] or found[1]) if found else ("", "")
        if not found or len(first) != len(last) or first > last:
            raise InvalidField(
                "extensions",
                f"{part.strip()!r} is not a range such as 100-199 or 2000: 2 to 8 digits, as many in both",
                "extension_range",
            )
        ranges.append((first, last))
    return ranges


def check_dial_settings(settings: Settings) -> None:
    """Raise InvalidField for unknown regions and types, and for ranges that cannot be read."""
    _check_names("dial_regions", settings.dial_regions, phonenumbers.SUPPORTED_REGIONS)
    _check_names("dial_types", settings.dial_types, NUMBER_TYPES)
    parse_ranges(settings.extensions or "")
    if settings.only_extensions and not settings.extensions:
        raise InvalidField("only_extensions", "Name the extensions first: without any, no extension could be called")


def _check_names(field: str, names: Sequence[str] | None, known: Iterable[str]) -> None:
    unknown = sorted(set(names or ()) - set(known))
    if unknown or (names is not None and not names):
        allowed = "ISO 3166 region codes, such as KZ" if field == "dial_regions" else ", ".join(sorted(known))
        raise InvalidField(
            field, f"Expected one or more of: {allowed}; not {', '.join(unknown) or 'none'}", "unknown_name"
        )


@lru_cache(maxsize=4096)
def _policy(key: _Key) -> DialPolicy:
    return DialPolicy(key)


@cache
def _regions_of(country_code: int) -> tuple[str, ...]:
    return phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(country_code, ())


@cache
def _shortest_number(region: str) -> int:
    """Return the least number of digits of a national number: 10 in Kazakhstan, so that no extension is one."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    described = metadata.general_desc if metadata else None
    return min(described.possible_length) if described and described.possible_length else 0


@cache
def _doubtful_numbers(country_code: int) -> re.Pattern[str]:
    """Return a pattern of all national numbers that may be expensive or short, or that begin with an emergency number."""
    patterns: list[str] = []
    for region in _regions_of(country_code):
        short = PhoneMetadata.short_metadata_for_region(region)
        patterns += _patterns(short, "short_code")
        longer = _patterns(PhoneMetadata.metadata_for_region(region, None), *EXPENSIVE_TYPES)
        patterns += [f"(?:{pattern})[0-9]*" for pattern in [*longer, *_patterns(short, "emergency")]]
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


@cache
def _expensive_numbers(country_code: int, types: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern of what begins with an expensive number, also behind zeros: networks ignore further digits."""
    described = (PhoneMetadata.metadata_for_region(region, None) for region in _regions_of(country_code))
    patterns = [pattern for metadata in described for pattern in _patterns(metadata, *types)]
    return re.compile(f"0*(?:{'|'.join(patterns)})" if patterns else r"(?!)")


def _begins_with_expensive_number(number: PhoneNumber, types: frozenset[str]) -> bool:
    national = phonenumbers.national_significant_number(number)
    return bool(_expensive_numbers(number.country_code or 0, types).match(national))


def _patterns(metadata: PhoneMetadata | None, *kinds: str) -> list[str]:
    described = [getattr(metadata, kind) for kind in kinds] if metadata else []
    return [one.national_number_pattern for one in described if one and one.national_number_pattern]


def _rule_of_short_number(number: PhoneNumber, regions: Iterable[str]) -> Rule | None:
    """Return the rule for an emergency or short number that is written like a full one, with a country code and zeros."""
    national = phonenumbers.national_significant_number(number)
    bare = national.lstrip("0")
    if _is_emergency_number(bare, regions) or _is_emergency_number(national, regions):
        return Rule.EMERGENCY_NUMBER
    if phonenumbers.is_valid_number(number):  # Turin: +39 011 2…
        return None
    if _begins_with_emergency_number(bare, regions) or _begins_with_emergency_number(national, regions):
        return Rule.EMERGENCY_NUMBER
    if any(_is_short_number(digits, region) for digits in {bare, national} - {""} for region in regions):
        return Rule.SHORT_NUMBER
    return None


def _is_emergency_number(digits: str, regions: Iterable[str]) -> bool:
    return digits in NEVER_DIALLED or any(shortnumberinfo.is_emergency_number(digits, region) for region in regions)


def _begins_with_emergency_number(digits: str, regions: Iterable[str]) -> bool:
    return digits in NEVER_DIALLED or any(
        shortnumberinfo.connects_to_emergency_number(digits, region) for region in regions
    )


def _is_short_number(digits: str, region: str) -> bool:
    zeros = len(digits) - len(digits.lstrip("0"))
    number = PhoneNumber(
        country_code=phonenumbers.country_code_for_region(region),
        national_number=int(digits),
        italian_leading_zero=zeros > 0 or None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )
    return shortnumberinfo.is_valid_short_number_for_region(number, region)
