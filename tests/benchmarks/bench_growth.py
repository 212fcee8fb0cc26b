"""Cost that must stay flat while history, or the data of other organisations, grows: p50 at two sizes, and their ratio."""

from typing import Any

from tests.benchmarks import growth_reads
from tests.benchmarks.support import Bench

ROWS = (*growth_reads.ROWS,)
"""Each returns figures by the name of a row; a row has its ``ratio``."""


def run(bench: Bench) -> dict[str, Any]:
    """Measure all rows; the goal is the worst ratio."""
    rows: dict[str, dict[str, Any]] = {}
    for measure in ROWS:
        rows |= measure(bench)
    return {"rows": rows, "goals": {"largest at most 2x smallest": max(row["ratio"] for row in rows.values())}}
