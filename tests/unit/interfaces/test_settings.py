"""Settings of a deployment, and their documentation."""

import re
from pathlib import Path

import msgspec
import pytest
from rich.pretty import pretty_repr

from domain.organization.events import Settings as OrganizationSettings
from interfaces.config.settings import BadSetting, Settings, from_environment

PAGE = (Path(__file__).parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_documentation_with_its_default() -> None:
    documented = dict(re.findall(r"^\| `PEREZVON_([A-Z_]+)` \| `?([^|`]*)`? \|", PAGE, re.MULTILINE))
    defaults = msgspec.structs.asdict(Settings())
    assert {name.lower() for name in documented} == defaults.keys()
    for name, default in defaults.items():
        shown = documented[name.upper()].strip()
        if shown == "none":
            assert default in {None, ""}
        else:
            assert from_environment({f"PEREZVON_{name.upper()}": shown}) == Settings()


def test_every_setting_of_an_organisation_stands_in_the_documentation_with_its_default() -> None:
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| `?([^|`]*)`? \|", PAGE, re.MULTILINE))
    given = {name: value.strip() for name, value in documented.items() if value.strip() != "none"}
    assert documented.keys() == msgspec.structs.asdict(OrganizationSettings()).keys()
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
        ("CALLS_PER_SECOND", "0"),
        ("CALLS_PER_SECOND", "1001"),
        ("CHANNELS", "1"),
        ("SIMULATOR_ADDRESS", "8078"),
        ("SIMULATED_SPEED", "0"),
        ("SIMULATED_SPEED", "inf"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name.lower()):
        from_environment({f"PEREZVON_{name}": value})


def test_settings_never_show_their_secrets() -> None:
    secrets = {
        "PEREZVON_DATABASE_URL": "s3cret-1",
        "PEREZVON_SECRETS_KEY": "s3cret-2",
        "PEREZVON_ASTERISK_SECRET": "s3cret-3",
    }
    settings = from_environment({**secrets, "PEREZVON_ASTERISK_USER": "somebody"})
    for shown in (repr(settings), str(settings), pretty_repr(settings)):
        assert "s3cret" not in shown
        assert "somebody" in shown
