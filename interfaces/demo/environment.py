"""Environment variables of the demo's own processes."""

from collections.abc import Mapping

from interfaces.config.settings import BadSetting

_SPEED = "20"
_CALLS_PER_SECOND = "10"  # a test switch accepts a higher rate than a carrier's trunk
_LOOPBACK = "127.0.0.1/32"


def demo_environment(given: Mapping[str, str], *, on_switch: bool = False) -> dict[str, str]:
    """Return the variables that the demo adds; variables in ``given`` take precedence.

    Only warnings are logged, since the demo sends hundreds of requests. The phone network runs at 20 times real speed.
    Webhooks may be sent to this machine, where the demo receives them; the worker logs a warning. ``on_switch`` is the
    consent to dial over a real switch. Raises BadSetting when a switch is set without that consent.
    """
    if given.get("PEREZVON_GATEWAY") == "asterisk" and not on_switch:
        raise BadSetting(
            "PEREZVON_GATEWAY names a real switch. The demo dials over it only with `--asterisk HOST`;"
            " otherwise unset PEREZVON_GATEWAY"
        )
    opened = given.get("PEREZVON_WEBHOOK_ALLOW_NETS")
    pace = {"PEREZVON_CALLS_PER_SECOND": given.get("PEREZVON_CALLS_PER_SECOND") or _CALLS_PER_SECOND}
    return {
        **(pace if on_switch else {}),
        "PEREZVON_LOG_LEVEL": given.get("PEREZVON_LOG_LEVEL") or "warning",
        "PEREZVON_SIMULATED_SPEED": given.get("PEREZVON_SIMULATED_SPEED") or _SPEED,
        "PEREZVON_WEBHOOK_ALLOW_NETS": f"{opened},{_LOOPBACK}" if opened else _LOOPBACK,
    }
