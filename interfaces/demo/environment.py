"""What the demo sets for its own processes, and for nobody else's."""

from collections.abc import Mapping

_SPEED = "20"
_LOOPBACK = "127.0.0.1/32"


def demo_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Answer variables to set over those that are given, which win.

    Only warnings are logged: hundreds of requests are no news. The phone network runs at twenty times the speed of life.
    Webhooks may go to this machine, where the demo receives them; the worker warns of it.
    """
    opened = given.get("PEREZVON_WEBHOOK_ALLOW_NETS")
    return {
        "PEREZVON_LOG_LEVEL": given.get("PEREZVON_LOG_LEVEL") or "warning",
        "PEREZVON_SIMULATED_SPEED": given.get("PEREZVON_SIMULATED_SPEED") or _SPEED,
        "PEREZVON_WEBHOOK_ALLOW_NETS": f"{opened},{_LOOPBACK}" if opened else _LOOPBACK,
    }
