"""Limits of an organisation: a deployment sets them for all organisations, and the command line for one of them."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from domain.errors import InvalidField, LimitReached
from domain.limits import OWN_LIMIT_MAX

_FROM_ONE = {"organization_rate", "organization_burst"}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that apply to an organisation.

    Maximum numbers of its ``queues``, ``members``, ``operators`` and ``tokens`` (without deleted, removed and revoked ones)
    and of its callbacks ``waiting`` for an attempt; ``organization_rate`` requests a second over all its tokens, with
    bursts of ``organization_burst``. When ``calls_per_day`` have started, the others wait until midnight; calls to a number
    wait after ``attempts_per_number_hour``; a callback to a number to which ``open_per_number`` are open is refused.
    """

    queues: int = 1000
    members: int = 1000
    operators: int = 5000
    tokens: int = 1000
    waiting: int = 1_000_000
    organization_rate: int = 500
    organization_burst: int = 5000
    calls_per_day: int = 100_000
    attempts_per_number_hour: int | None = None
    open_per_number: int | None = None

    def with_own(self, own: Mapping[str, int]) -> "Limits":
        """Return the limits of an organisation whose settings have these limits of its own."""
        return replace(self, **own) if own else self

    def require_room(self, name: str, used: int, more: int = 1) -> None:
        """Raise LimitReached if ``more`` than ``used`` exceed the limit of that name."""
        limit: int = getattr(self, name)
        if used + more > limit:
            raise LimitReached(name, limit, used)


LIMIT_NAMES = tuple(field.name for field in msgspec.structs.fields(Limits))


def check_own_limits(own: Mapping[str, int]) -> None:
    """Raise InvalidField for a name that is no limit, and for a value that is out of range."""
    for name, value in own.items():
        if name not in LIMIT_NAMES:
            raise InvalidField("limits", f"No limit {name!r}. Limits: {', '.join(LIMIT_NAMES)}", "unknown_limit")
        least = 1 if name in _FROM_ONE else 0
        if not least <= value <= OWN_LIMIT_MAX:
            raise InvalidField(f"limits.{name}", f"Expected {least} to {OWN_LIMIT_MAX}", "out_of_range")
