"""Settings of a deployment."""

import re
from pathlib import Path

import msgspec
import pytest

from domain.organization.events import Settings as OrganizationSettings
from interfaces.settings import BadSetting, Settings, from_environment

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_documentation_with_its_default() -> None:
    told = dict(re.findall(r"^\| `PEREZVON_([A-Z_]+)` \| `?([^|`]*)`? \|", PAGE, re.MULTILINE))
    defaults = msgspec.structs.asdict(Settings())
    assert {name.lower() for name in told} == defaults.keys()
    for name, default in defaults.items():
        shown = told[name.upper()].strip()
        if shown == "none":
            assert default in {None, ""}
        else:
            assert from_environment({f"PEREZVON_{name.upper()}": shown}) == Settings()


def test_every_setting_of_an_organisation_stands_in_the_documentation_with_its_default() -> None:
    told = dict(re.findall(r"^\| `([a-z_]+)` \| `?([^|`]*)`? \|", PAGE, re.MULTILINE))
    given = {name: value.strip() for name, value in told.items() if value.strip() != "none"}
    assert told.keys() == msgspec.structs.asdict(OrganizationSettings()).keys()
    assert msgspec.convert(given, OrganizationSettings, strict=False) == OrganizationSettings()


def test_settings_are_read_from_the_environment() -> None:
    found = from_environment(
        {"PEREZVON_RATE_LIMITS": "false", "PEREZVON_OPERATOR_RATE": "0.5", "PEREZVON_LOG_LEVEL": ""}
    )
    assert (found.rate_limits, found.operator_rate, found.log_level) == (False, 0.5, "info")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMITS", "perhaps"),
        ("TOKEN_RATE", "0"),
        ("TOKEN_BURST", "0"),
        ("ADDRESS_RATE", "fast"),
        ("METRICS_PORT", "70000"),
        ("SHUTDOWN_SECONDS", "-1"),
        ("GATEWAY", "pigeons"),
        ("SIMULATOR_ADDRESS", "8078"),
        ("SIMULATED_SPEED", "0"),
        ("SIMULATED_SPEED", "inf"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name.lower()):
        from_environment({f"PEREZVON_{name}": value})
