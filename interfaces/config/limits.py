"""Limits of organisations from the settings of a deployment."""

from typing import Any

from domain.organization.limits import LIMIT_NAMES, Limits
from interfaces.config.settings import Settings

_WHERE_PHONES_RING = {"attempts_per_number_hour": 12, "open_per_number": 3}


def limits_of(settings: Settings) -> Limits:
    """Return the limits of organisations that have none of their own.

    Quotas of a number have a default only where phones ring: demos and tests call the same numbers again and again.
    """
    defaults: dict[str, Any] = _WHERE_PHONES_RING if settings.gateway == "asterisk" else {}
    given = {name: value for name in LIMIT_NAMES if (value := getattr(settings, name)) is not None}
    return Limits(**(defaults | given))
