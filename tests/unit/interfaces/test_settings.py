"""Settings of a deployment, and their documentation."""

import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from rich.pretty import pretty_repr

from domain.organization.events import Settings as OrganizationSettings
from interfaces.config import settings
from interfaces.config.limits import limits_of
from interfaces.config.settings import BadSetting, Settings, from_environment, unknown_variables

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
        ("METRICS_ADDRESS", "9464"),
        ("METRICS_ADDRESS", "127.0.0.1:70000"),
        ("CONNECTIONS", "9"),
        ("SHUTDOWN_SECONDS", "-1"),
        ("GATEWAY", "pigeons"),
        ("CALLS_PER_SECOND", "0"),
        ("CALLS_PER_SECOND", "1001"),
        ("CHANNELS", "1"),
        ("SIMULATOR_ADDRESS", "8078"),
        ("SIMULATED_SPEED", "0"),
        ("SIMULATED_SPEED", "inf"),
        ("TOKEN_RATE", "inf"),
        ("SIMULATOR_ADDRESS", "127.0.0.1:99999"),
        ("SIMULATOR_ADDRESS", "http://127.0.0.1:8078"),
        ("GATEWAY", "null"),
        ("OPEN_PER_NUMBER", "null"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"^PEREZVON_{name}: expected .*, not '{value}'$"):
        from_environment({f"PEREZVON_{name}": value})


@pytest.mark.parametrize("name", ["TRUSTED_PROXIES", "WEBHOOK_ALLOW_NETS", "WEBHOOK_DENY_NETS"])
@pytest.mark.parametrize("part", ["proxy", "10.0.0.1/8", "10.0.0.300", "10.0.0.0/33", "10.0.0.1:80"])
def test_a_network_that_is_none_is_refused_by_name(name: str, part: str) -> None:
    expected = rf"^PEREZVON_{name}: expected addresses and networks such as .*, not '{part}': "
    with pytest.raises(BadSetting, match=expected):
        from_environment({f"PEREZVON_{name}": f"192.0.2.7, {part},::1"})


def test_networks_are_separated_by_commas_and_proxies_may_be_all() -> None:
    from_environment({"PEREZVON_WEBHOOK_DENY_NETS": " 10.0.0.0/8, ::1,"})
    assert from_environment({"PEREZVON_TRUSTED_PROXIES": "*"}).trusted_proxies == "*"


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("RATE_LIMITS", "true or false"),
        ("TOKEN_RATE", "a number greater than 0 and at most 1,000,000,000"),
        ("SHUTDOWN_SECONDS", "a whole number of at least 0"),
        ("WEBHOOK_TIMEOUT_SECONDS", "a number of at least 1 and at most 30"),
        ("GATEWAY", "one of asterisk, simulated"),
        ("CHANNELS", "a whole number of at least 2"),
        ("SIMULATOR_ADDRESS", "a host and a port, such as 127.0.0.1:8078, or the path of a Unix socket"),
    ],
)
def test_a_refusal_says_what_is_allowed(name: str, allowed: str) -> None:
    with pytest.raises(BadSetting, match=f"expected {allowed}, not '\\?'"):
        from_environment({f"PEREZVON_{name}": "?"})


def test_all_invalid_settings_are_named_at_once() -> None:
    with pytest.raises(BadSetting) as refused:
        from_environment({"PEREZVON_CHANNELS": "1", "PEREZVON_GATEWAY": "pigeons"})
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == ["PEREZVON_GATEWAY", "PEREZVON_CHANNELS"]


def test_every_setting_can_say_what_it_allows() -> None:
    for name, kind in get_type_hints(Settings, include_extras=True).items():
        described = settings._allowed(msgspec.inspect.type_info(kind))
        assert described == "another text" if kind in {str, str | None} else described != "another text", name


def test_unknown_variables_are_found_with_what_was_meant() -> None:
    found = unknown_variables(
        {"PEREZVON_RATE_LIMIT": "false", "PEREZVON_XYZZY": "1", "PEREZVON_GATEWAY": "", "PATH": ""}
    )
    assert found == {"PEREZVON_RATE_LIMIT": "PEREZVON_RATE_LIMITS", "PEREZVON_XYZZY": None}


def test_settings_never_show_their_secrets() -> None:
    secrets = {
        "PEREZVON_DATABASE_URL": "s3cret-1",
        "PEREZVON_SECRETS_KEY": "s3cret-2",
        "PEREZVON_ASTERISK_SECRET": "s3cret-3",
    }
    found = from_environment({**secrets, "PEREZVON_ASTERISK_USER": "somebody"})
    for shown in (repr(found), str(found), pretty_repr(found)):
        assert "s3cret" not in shown
        assert "somebody" in shown


def test_a_number_has_quotas_by_default_only_where_phones_ring() -> None:
    def quotas(**settings: Any) -> tuple[int | None, int | None]:
        limits = limits_of(Settings(**settings))
        return limits.attempts_per_number_hour, limits.open_per_number

    assert quotas() == quotas(gateway="simulated") == (None, None)
    assert quotas(gateway="asterisk") == (12, 3)
    assert quotas(gateway="asterisk", open_per_number=50) == (12, 50)
    assert quotas(gateway="simulated", attempts_per_number_hour=5) == (5, None)
