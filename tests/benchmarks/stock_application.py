"""The peer: an aggregate and an Application, written as in the examples of the eventsourcing library."""

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from tests.benchmarks.bench_append import library_environment


class FiledTask(Aggregate):
    """A task of the same size as ours."""

    @event("Filed")
    def __init__(self, title: str, description: str) -> None:
        self.title = title
        self.description = description
        self.status = "pending"

    @event("Started")
    def start(self) -> None:
        """Start the work."""
        self.status = "in_progress"

    @event("Completed")
    def complete(self) -> None:
        """End the work."""
        self.status = "completed"


def stock_application(dsn: str, pool: int) -> Application:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] - as the library's examples
    """Return a stock Application on a database, with a pool of ``pool`` connections."""
    return Application(env=library_environment(dsn, pool))
