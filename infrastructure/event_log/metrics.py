"""Metrics of the log: appends, and snapshots of streams."""

from collections import Counter as Counts
from collections.abc import Iterable

from prometheus_client import Counter, Histogram

_commands = Counter("perezvon_log_commands", "Commands passed to the log's function, by verdict", ("verdict",))
_batches = Histogram(
    "perezvon_log_batch_commands", "Commands that shared a commit", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)

FOREIGN = Counter(
    "perezvon_foreign_streams", "Commands refused because their stream belongs to another organisation: a bug"
)

REFUSED = Counter(
    "perezvon_decisions_refused",
    "Decisions of a policy or the dispatcher that the domain refused because they came too late",
    ["actor", "code"],
)

SNAPSHOTS = Counter(
    "perezvon_snapshots", "Snapshots of long streams, by result: one that failed is tried again", ("result",)
)


def count_verdicts(verdicts: Iterable[str]) -> None:
    """Count the commands of a batch that was committed."""
    counts = Counts(verdicts)
    _batches.observe(counts.total())
    for verdict, count in counts.items():
        _commands.labels(verdict).inc(count)
