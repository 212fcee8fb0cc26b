"""The dial policy: which numbers an organisation may call, by its settings."""

from typing import Any

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from application.dial_policy import DEFAULT_TYPES, Rule, check_dial_settings, policy_of
from domain.errors import InvalidField
from domain.organization.events import Settings

EMERGENCY = {
    "KZ": "103", "RU": "102", "UZ": "03", "KG": "102", "US": "911", "CA": "911", "GB": "999", "DE": "110", "FR": "15",
    "IT": "113", "ES": "085", "PL": "997", "TR": "155", "IN": "100", "CN": "119", "JP": "119", "AU": "000", "NZ": "111",
    "BR": "190", "ZA": "10111",
}  # fmt: skip


def rule_of(number: str, **settings: Any) -> Rule | None:
    return policy_of(Settings(**settings)).broken_rule(number)


@pytest.mark.parametrize(("region", "number"), EMERGENCY.items())
def test_no_setting_allows_an_emergency_number(region: str, number: str) -> None:
    everything = {
        "extensions": "10-99, 000-999, 0000-9999, 00000-99999",
        "dial_regions": sorted(phonenumbers.SUPPORTED_REGIONS),
    }
    for dialled in (number, "112", "911", "999", "000"):
        assert rule_of(dialled, region=region) is Rule.EMERGENCY_NUMBER
        assert rule_of(dialled, region=region, **everything) is Rule.EMERGENCY_NUMBER


def test_emergency_numbers_of_regions_that_are_called_are_refused_too() -> None:
    assert rule_of("110") is None
    assert rule_of("110", dial_regions=["KZ", "DE"]) is Rule.EMERGENCY_NUMBER


def test_digits_behind_an_emergency_number_do_not_hide_it() -> None:
    assert [rule_of(number) for number in ("1010", "1039", "11200000")] == [Rule.EMERGENCY_NUMBER] * 3


@pytest.mark.parametrize(
    ("number", "settings", "rule"),
    [
        ("1001", {}, None),
        ("104", {}, Rule.SHORT_NUMBER),
        ("104", {"extensions": "100-199"}, None),
        ("104", {"extensions": "1000-1999"}, Rule.SHORT_NUMBER),
        ("2000", {"extensions": "100-199, 2000-2999", "only_extensions": True}, None),
        ("3000", {"extensions": "100-199, 2000-2999", "only_extensions": True}, Rule.EXTENSION_NOT_ALLOWED),
        ("0700", {"extensions": "700-799", "only_extensions": True}, Rule.EXTENSION_NOT_ALLOWED),
        ("411", {"region": "US"}, Rule.SHORT_NUMBER),
        ("+77011234567", {}, None),
        ("+77011234567;ext=12", {}, None),
        ("+79161234567", {}, None),
        ("+79161234567", {"dial_regions": ["KZ"]}, Rule.REGION_NOT_ALLOWED),
        ("+77011234567", {"dial_regions": ["KZ"]}, None),
        ("+998901234567", {}, Rule.REGION_NOT_ALLOWED),
        ("+998901234567", {"dial_regions": ["KZ", "UZ"]}, None),
        ("+12125551234", {}, Rule.REGION_NOT_ALLOWED),
        ("+78091234567", {}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("+78091234567", {"dial_types": ["premium_rate"]}, None),
        ("+77011234567", {"dial_types": ["fixed_line"]}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("+12125551234", {"region": "US", "dial_types": ["mobile"]}, None),  # no metadata tells them apart there
        ("+19002345678", {"region": "US"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("+448450000000", {"region": "GB"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("+78001000000", {}, None),
        ("+70000000000", {}, None),  # possible, and of no region
        ("+70000000000", {"region": "US"}, Rule.REGION_NOT_ALLOWED),
        # Networks ignore digits behind an expensive number, and zeros before it may get a line.
        ("+499001234567123", {"region": "DE"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("+398991234560", {"region": "IT"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("+480701234567", {"region": "PL"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("+499001234567123", {"region": "DE", "dial_types": ["premium_rate", "unknown"]}, None),
        ("+390899123456", {"region": "IT"}, None),  # Salerno, not 899
        # A switch passes extensions that it does not know to the trunk.
        ("90123456", {"region": "DK"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("9001234", {"region": "EE"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("90012345", {"region": "EE"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("892123", {"region": "IT"}, Rule.NUMBER_TYPE_NOT_ALLOWED),
        ("90123456", {"region": "DK", "extensions": "90123456"}, None),
        ("32123456", {"region": "DK"}, None),
        ("2500001", {}, None),
        ("90123456", {}, None),
        ("01120", {}, Rule.EMERGENCY_NUMBER),
    ],
)
def test_numbers_are_judged_by_the_settings(number: str, settings: dict[str, Any], rule: Rule | None) -> None:
    assert rule_of(number, **settings) is rule


@pytest.mark.parametrize("number", ["+870773111632", "+881612345678", "+80012345678", "+979123456789", "+88213123456"])
def test_no_setting_allows_numbers_of_no_country(number: str) -> None:
    everywhere = sorted(phonenumbers.SUPPORTED_REGIONS)
    types = sorted(DEFAULT_TYPES | {"premium_rate", "shared_cost"})
    assert rule_of(number, dial_regions=everywhere, dial_types=types) is Rule.REGION_NOT_ALLOWED


def test_a_number_of_an_older_release_that_cannot_be_read_is_refused() -> None:
    assert rule_of("+7") is Rule.REGION_NOT_ALLOWED


@pytest.mark.parametrize("region", ["KZ", "US", "GB", "DE", "IT"])
@given(digits=st.text("0123456789", min_size=7, max_size=12))
@example(digits="09000000000")
@example(digits="88091234567")
def test_the_short_way_allows_only_what_the_long_one_does(region: str, digits: str) -> None:
    settings = Settings(region=region)
    number = f"+{phonenumbers.country_code_for_region(region)}{digits}"
    long_way = Settings(region=region, dial_types=[*DEFAULT_TYPES - {"pager"}])  # no country code is wholly open
    parsed = phonenumbers.parse(number, None)
    if phonenumbers.number_type(parsed) != phonenumbers.PhoneNumberType.PAGER and f"+{parsed.country_code}" in number:
        assert policy_of(settings).broken_rule(number) is policy_of(long_way).broken_rule(number)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"dial_regions": ["001"]}, "dial_regions"),
        ({"dial_regions": []}, "dial_regions"),
        ({"dial_types": ["satellite"]}, "dial_types"),
        ({"extensions": "1-9"}, "extensions"),
        ({"extensions": "100-20"}, "extensions"),
        ({"extensions": "100,,200"}, "extensions"),
        ({"only_extensions": True}, "only_extensions"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_dial_settings(Settings(**settings))
    assert refused.value.field == field
