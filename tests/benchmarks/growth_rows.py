"""A row of `./run bench growth`: a cost at two sizes, its ratio, and the limit of the ratio."""

from collections.abc import Mapping
from typing import Any

LIMIT = 2.0


def growth_row(ms: Mapping[str, float], limit: float = LIMIT) -> dict[str, Any]:
    """Return the row of a cost in milliseconds, by size, the smallest first."""
    smallest, *_, largest = ms.values()
    ratio = round(largest / smallest, 2)
    return {
        **{f"ms at {size}": round(one, 2) for size, one in ms.items()},
        "ratio": ratio,
        "limit": limit,
        "met": ratio <= limit,
    }
