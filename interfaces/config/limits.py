"""Limits of organisations from the settings of a deployment."""

from domain.organization.limits import LIMIT_NAMES, Limits
from interfaces.config.settings import Settings


def limits_of(settings: Settings) -> Limits:
    """Return the limits of organisations that have none of their own."""
    return Limits(**{name: getattr(settings, name) for name in LIMIT_NAMES})
