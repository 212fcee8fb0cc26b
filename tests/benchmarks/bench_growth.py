"""Cost that must stay flat while history, or the data of other organisations, grows: at two sizes, and the ratio."""

from typing import Any

from interfaces.config.log_setup import set_up_logging
from interfaces.config.settings import Settings
from tests.benchmarks import growth_dispatch, growth_reads
from tests.benchmarks.support import Bench

MEASURES = {measure.__name__: measure for measure in (*growth_reads.ROWS, *growth_dispatch.ROWS)}
"""Each returns rows by their names; a row has its ``ratio``, the ``limit`` of it, and whether that is ``met``."""


def run(bench: Bench, only: str | None = None) -> dict[str, Any]:
    """Measure all rows, or those of one measure; the goals are the ratios."""
    set_up_logging(Settings(log_level="error"))
    rows: dict[str, dict[str, Any]] = {}
    for name, measure in MEASURES.items():
        if only in {None, name}:
            rows |= measure(bench)
    missed = [name for name, row in rows.items() if not row["met"]]
    return {"rows": rows, "missed": missed}
