"""Results of the diagnosis that ``perezvon doctor`` prints."""

import msgspec


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one check: ``state`` is ok, warn or fail; ``advice`` says how to resolve the latter two."""

    name: str
    state: str
    message: str
    advice: str | None = None


def passed(name: str, message: str) -> Check:
    """Return the result of a check that found nothing wrong."""
    return Check(name=name, state="ok", message=message)
