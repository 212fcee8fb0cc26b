"""The gateway that the settings of a deployment select."""

import ssl
from pathlib import Path
from typing import get_args

import pytest

from infrastructure.dispatch.pacing import Pace
from infrastructure.gateways.asterisk.kind import AsteriskGatewayKind
from infrastructure.gateways.simulated.kind import SimulatedGatewayKind
from interfaces.bootstrap.gateways import (
    GATEWAYS,
    asterisk_environment,
    asterisk_options,
    gateway_of,
    needs_own_network,
    pace_of,
)
from interfaces.config.settings import SIMULATOR, BadSetting, GatewayName, Settings, from_environment
from tests.support.certificates import certificate_for


def settings(**given: str) -> Settings:
    """Return settings that select the Asterisk gateway."""
    chosen = {"gateway": "asterisk", "asterisk_secret": "s3cret", **given}
    return from_environment({f"PEREZVON_{name.upper()}": value for name, value in chosen.items()})


def test_asterisk_is_reached_as_it_is_set() -> None:
    gateway = gateway_of(settings(asterisk_address="10.0.0.5:5040", asterisk_user="us", asterisk_trunk="carrier-1"))
    assert isinstance(gateway, AsteriskGatewayKind)
    found = gateway.options
    assert (found.host, found.port, found.user, found.secret) == ("10.0.0.5", 5040, "us", "s3cret")
    assert (found.trunk, found.tls) == ("carrier-1", None)


def test_any_other_switch_is_the_simulated_one() -> None:
    assert gateway_of(Settings()) == SimulatedGatewayKind(SIMULATOR)
    found = gateway_of(Settings(gateway="simulated", simulator_address="./switch.sock"))
    assert found == SimulatedGatewayKind("./switch.sock")


def test_the_registry_knows_every_gateway_by_its_own_name() -> None:
    assert {*GATEWAYS} == {*get_args(GatewayName)}
    assert {name: make(settings()).name for name, make in GATEWAYS.items()} == {name: name for name in GATEWAYS}


def test_a_child_process_dials_the_same_gateway_with_the_variables_that_it_is_given() -> None:
    secret = {"PEREZVON_ASTERISK_SECRET": "s3cret"}
    for chosen in (settings(asterisk_address="10.0.0.5:5040"), Settings(simulator_address="./switch.sock")):
        gateway = gateway_of(chosen)
        assert gateway_of(from_environment({**secret, **gateway.environment()})) == gateway


@pytest.mark.parametrize(
    ("chosen", "needed"),
    [
        (Settings(), True),
        (Settings(gateway="simulated"), True),
        (Settings(gateway="simulated", simulator_address="./switch.sock"), False),
        (Settings(gateway="asterisk"), False),
    ],
)
def test_a_network_of_its_own_is_needed_where_no_setting_locates_one(chosen: Settings, *, needed: bool) -> None:
    assert needs_own_network(chosen) == needed


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("pbx.example.com:1", "pbx.example.com", 1), ("[::1]:5038", "::1", 5038), ("localhost:65535", "localhost", 65535)],
)
def test_an_address_is_a_host_and_a_port(address: str, host: str, port: int) -> None:
    found = asterisk_options(settings(asterisk_address=address))
    assert (found.host, found.port, found.address) == (host, port, address)


@pytest.mark.parametrize(
    "address",
    [
        "pbx",
        ":5038",
        "pbx:",
        "pbx:0",
        "pbx:65536",
        "::1:5038",
        "/run/switch.sock",
        "./s:1",
        "us@pbx:1",
        "pbx:1\n",
        "a b:1",
    ],
)
def test_what_is_no_host_and_port_is_refused_by_name(address: str) -> None:
    with pytest.raises(BadSetting, match=r"^PEREZVON_ASTERISK_ADDRESS: .* is not a host and port such as"):
        asterisk_options(settings(asterisk_address=address))


def test_without_a_secret_it_says_where_to_find_it() -> None:
    with pytest.raises(BadSetting, match=r"^PEREZVON_ASTERISK_SECRET .*\[us\] in the switch's manager\.conf"):
        asterisk_options(Settings(gateway="asterisk", asterisk_user="us"))


@pytest.mark.parametrize("name", ["secret", "user"])
@pytest.mark.parametrize("text", ["s3cret\r\nAction: Logoff", "s3cret\x00", "s3cret\n", "s3cret\x7f"])
def test_control_characters_are_refused_and_the_text_is_not_told(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=rf"^PEREZVON_ASTERISK_{name.upper()}: ") as refused:
        asterisk_options(settings(**{f"asterisk_{name}": text}))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("trunk", ["a b", "a&b", "a/b", "a@b", "a,b", "трубка", "x" * 65])
def test_a_trunk_that_would_alter_a_dial_string_is_refused(trunk: str) -> None:
    with pytest.raises(BadSetting, match=r"^PEREZVON_ASTERISK_TRUNK: "):
        asterisk_options(settings(asterisk_trunk=trunk))


def test_nothing_shows_the_secret() -> None:
    assert "s3cret" not in repr(asterisk_options(settings()))


def test_tls_trusts_what_the_machine_trusts_or_what_a_file_holds(tmp_path: Path) -> None:
    certificate, _ = certificate_for("pbx.example.com", tmp_path)
    by_machine = asterisk_options(settings(asterisk_tls="on")).tls
    by_file = asterisk_options(settings(asterisk_tls=str(certificate))).tls
    assert by_machine
    assert by_file
    for context in (by_machine, by_file):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(by_file.get_ca_certs()) == 1


def test_a_file_of_certificates_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (tmp_path / "nowhere.pem", empty, tmp_path):
        with pytest.raises(BadSetting, match=r"^PEREZVON_ASTERISK_TLS: expected `on`, or a file of CA certificates"):
            asterisk_options(settings(asterisk_tls=str(path)))


def test_a_carrier_is_not_overrun_unless_it_is_set_and_a_simulated_network_is_boundless() -> None:
    real, simulated = gateway_of(settings()), gateway_of(Settings())
    assert pace_of(settings(), real) == Pace(calls_per_second=1)
    assert pace_of(settings(calls_per_second="7.5", channels="30"), real) == Pace(calls_per_second=7.5, channels=30)
    assert pace_of(Settings(), simulated) == Pace()
    assert pace_of(Settings(calls_per_second=3), simulated) == Pace(calls_per_second=3)


@pytest.mark.parametrize(
    ("given", "tls", "address"),
    [
        ("pbx", None, "pbx:5038"),
        ("pbx", "on", "pbx:5039"),
        ("pbx:15038", "on", "pbx:15038"),
        ("10.0.0.5", None, "10.0.0.5:5038"),
        ("::1", None, "[::1]:5038"),
        ("[::1]", None, "[::1]:5038"),
        ("[::1]:7", None, "[::1]:7"),
    ],
)
def test_a_host_named_on_the_command_line_needs_no_port(given: str, tls: str | None, address: str) -> None:
    chosen = asterisk_environment(given, Settings(asterisk_tls=tls))
    assert chosen == {"PEREZVON_GATEWAY": "asterisk", "PEREZVON_ASTERISK_ADDRESS": address}
