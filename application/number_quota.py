"""Quota of callbacks that wait for one number."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Protocol

from application.errors import InvalidFields
from application.phone_line_key import line_key
from domain.errors import InvalidField

RULE = "open_per_number"
_ERRORS_MAX = 50


class WaitingLines(Protocol):
    """Callbacks that wait for an attempt, by the line of their number B."""

    async def count(self, lines: Collection[int], at_most: int) -> Mapping[int, int]:
        """Return how many callbacks wait for each line, counted up to ``at_most``. Raises StorageUnavailable."""
        ...


async def require_quota(
    waiting: WaitingLines, organization_id: int, numbers: Mapping[str, str], limit: int | None
) -> None:
    """Raise InvalidFields if new callbacks exceed the quota; ``numbers`` are their numbers B by the field's name.

    Those that wait are counted, and those before each number in ``numbers``. Extensions have no quota. The count lags
    behind the log as the timetable does.
    """
    if limit is None:
        return
    lines = {field: line_key(organization_id, text) for field, text in numbers.items() if text.startswith("+")}
    found = Counter(await waiting.count(set(lines.values()), limit)) if lines else Counter[int]()
    errors: list[InvalidField] = []
    for field, line in lines.items():
        found[line] += 1
        if found[line] > limit:
            errors.append(InvalidField(field, f"{RULE}: At most {limit} callbacks may wait for one number", RULE))
    if errors:
        raise InvalidFields(errors[:_ERRORS_MAX])
