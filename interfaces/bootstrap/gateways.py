"""The gateway of a deployment, from its settings (docs/settings.md)."""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping

from application.ports.call_gateway import GatewayKind
from infrastructure.dispatch.pacing import Pace
from infrastructure.gateways.asterisk.kind import AsteriskGatewayKind
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.simulated.kind import SimulatedGatewayKind
from interfaces.config.settings import SIMULATOR, BadSetting, GatewayName, Settings

PORT, TLS_PORT = 5038, 5039  # the default ports of Asterisk's manager interface

_ADDRESS = re.compile(r"([^:/@\s\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_LAST_PORT = 65_535
_CALLS_PER_SECOND = 1.0  # the lowest limit among carriers


class SwitchNotReady(Exception):
    """The installation of a switch is incomplete; the message gives the reason and the fix."""

    code = "switch_not_ready"


def require_ready(gateway: GatewayKind) -> None:
    """Examine the switch. Raises SwitchNotReady when a check fails."""
    for check in asyncio.run(gateway.examine()):
        if check.state == "fail":
            raise SwitchNotReady(f"{check.name}: {check.message}\n{check.advice}")


def gateway_of(settings: Settings) -> GatewayKind:
    """Return the gateway that the settings name, by default the simulated network. Raises BadSetting."""
    return GATEWAYS[settings.gateway or "simulated"](settings)


def needs_own_network(settings: Settings) -> bool:
    """Return whether a simulated network must be started: the gateway is simulated, and no setting gives its address."""
    return settings.gateway in {None, "simulated"} and settings.simulator_address is None


def pace_of(settings: Settings, gateway: GatewayKind) -> Pace:
    """Return the highest rate of calls and number of channels; no rate limit by default where no phone rings."""
    default = _CALLS_PER_SECOND if gateway.rings_phones else None
    return Pace(calls_per_second=settings.calls_per_second or default, channels=settings.channels)


def asterisk_options(settings: Settings) -> AsteriskOptions:
    """Return the connection options of the Asterisk in the settings. Raises BadSetting, which never contains the secret."""
    host, port = _address(settings.asterisk_address)
    if not settings.asterisk_secret:
        raise BadSetting(
            "PEREZVON_ASTERISK_SECRET is not set. Set it to the secret of"
            f" [{settings.asterisk_user}] in the switch's manager.conf (docs/asterisk.md)"
        )
    tls = _tls(settings.asterisk_tls)
    try:
        return AsteriskOptions(
            host=host,
            port=port,
            user=settings.asterisk_user,
            secret=settings.asterisk_secret,
            trunk=settings.asterisk_trunk,
            tls=tls,
        )
    except ValueError as error:
        name, _, why = str(error).partition(": ")
        raise BadSetting(f"PEREZVON_ASTERISK_{name.upper()}: {why}") from None


def asterisk_environment(address: str, settings: Settings) -> dict[str, str]:
    """Return the variables that select the Asterisk at a host; without a port, the default one is used."""
    if not _ADDRESS.fullmatch(address):
        host = f"[{address}]" if ":" in address and not address.startswith("[") else address
        address = f"{host}:{TLS_PORT if settings.asterisk_tls else PORT}"
    return {"PEREZVON_GATEWAY": "asterisk", "PEREZVON_ASTERISK_ADDRESS": address}


def _address(text: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[2]) <= _LAST_PORT:
        raise BadSetting(
            f"PEREZVON_ASTERISK_ADDRESS: {text!r} is not a host and port such as 10.0.0.5:{PORT} or [::1]:{PORT}"
        )
    return found[1].strip("[]"), int(found[2])


def _tls(text: str | None) -> ssl.SSLContext | None:
    if text is None:
        return None
    try:
        return ssl.create_default_context(cafile=None if text == "on" else text)
    except OSError as error:  # an SSLError too
        raise BadSetting(
            f"PEREZVON_ASTERISK_TLS: expected `on`, or a file of CA certificates; {text!r} cannot be read as such a file"
        ) from error


GATEWAYS: Mapping[GatewayName, Callable[[Settings], GatewayKind]] = {
    "simulated": lambda settings: SimulatedGatewayKind(settings.simulator_address or SIMULATOR),
    "asterisk": lambda settings: AsteriskGatewayKind(asterisk_options(settings)),
}
"""The gateways that PEREZVON_GATEWAY can name. Each factory may raise BadSetting."""
