"""What the demo sets for its own processes, and for nobody else's."""

from collections.abc import Mapping

from interfaces.config.settings import BadSetting

_SPEED = "20"
_CALLS_PER_SECOND = "10"  # a test switch bears more than a carrier's trunk
_LOOPBACK = "127.0.0.1/32"


def demo_environment(given: Mapping[str, str], *, on_switch: bool = False) -> dict[str, str]:
    """Answer variables to set over those that are given, which win; ``on_switch``: real phones are to ring, with consent.

    Only warnings are logged: hundreds of requests are no news. The phone network runs at twenty times the speed of life.
    Webhooks may go to this machine, where the demo receives them; the worker warns of it. Raises BadSetting.
    """
    if given.get("PEREZVON_GATEWAY") == "asterisk" and not on_switch:
        raise BadSetting(
            "PEREZVON_GATEWAY names a real switch, on which the demo dials only when it is told to: `--asterisk HOST`,"
            " or unset PEREZVON_GATEWAY"
        )
    opened = given.get("PEREZVON_WEBHOOK_ALLOW_NETS")
    pace = {"PEREZVON_CALLS_PER_SECOND": given.get("PEREZVON_CALLS_PER_SECOND") or _CALLS_PER_SECOND}
    return {
        **(pace if on_switch else {}),
        "PEREZVON_LOG_LEVEL": given.get("PEREZVON_LOG_LEVEL") or "warning",
        "PEREZVON_SIMULATED_SPEED": given.get("PEREZVON_SIMULATED_SPEED") or _SPEED,
        "PEREZVON_WEBHOOK_ALLOW_NETS": f"{opened},{_LOOPBACK}" if opened else _LOOPBACK,
    }
