"""Maintenance of a deployment: rebuild views, retry parked streams, diagnose."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from application.ports.diagnosis import Check
from application.ports.operations import RebuildProgress, RebuildReport, RetryReport
from application.queries.view_lag import Lag
from infrastructure.operations.doctor.database import examine
from infrastructure.operations.doctor.dispatch import examine_dispatch
from infrastructure.operations.rebuild import REBUILDABLE, rebuild
from infrastructure.operations.retry_parked import retry_parked
from infrastructure.operations.subscribers import HANDLERS
from infrastructure.policies.registry import POLICIES
from infrastructure.postgres.probe import examine_login

VIEWS = dict(sorted(REBUILDABLE.items()))
"""The views that can be rebuilt: the question that each answers, by its name."""

SUBSCRIBERS = dict(sorted(HANDLERS.items()))
"""The projections and policies that may have parked streams: the summary of each, by its name."""


def rebuild_view(dsn: str, view: str, *, accept: bool, progress: RebuildProgress) -> RebuildReport:
    """Rebuild a view from the log, as the owner, and swap it in when it equals the live one or with ``accept``.

    Raises SchemaTooOld, RebuildUnderWay, StorageUnavailable.
    """
    examine_login(dsn)  # raises SchemaTooOld before any work
    return asyncio.run(rebuild(dsn, view, accept=accept, progress=progress))


def retry_parked_streams(dsn: str, name: str | None) -> Sequence[RetryReport]:
    """Retry the parked streams of one projection or policy, or of all; return a report for each of them.

    ``dsn`` is for the owner. Raises SchemaTooOld, StorageUnavailable.
    """
    examine_login(dsn)
    return [asyncio.run(retry_parked(dsn, one)) for one in ([name] if name else SUBSCRIBERS)]


def diagnose(
    dsn: str, lags: Callable[[], Iterable[Lag]], limit_s: float, *, allow_owner: bool = False
) -> Iterator[Check]:
    """Yield the checks of the database, then those of its subscribers and gateways unless the schema check fails.

    ``dsn`` is the service's, which must not have the rights of the owner unless ``allow_owner`` is set; ``lags`` reads the lag of each subscriber; a lag over ``limit_s`` seconds is a warning.
    """
    found = list(examine(dsn, allow_owner=allow_owner))
    yield from found
    if not any(check.name == "schema" and check.state == "fail" for check in found):
        yield from (_check_of(lag, limit_s) for lag in lags())
        yield from examine_dispatch(dsn)


def _check_of(lag: Lag, limit_s: float) -> Check:
    name = f"{'policy' if lag.name in POLICIES else 'view'} {lag.name}"
    behind = f"{lag.events} events and {lag.seconds:.1f} s behind the log"
    if lag.parked:
        advice = f"Fix the cause, then run `perezvon retry-parked {lag.name}`"
        return Check(name=name, state="fail", message=f"{lag.parked} streams parked", advice=advice)
    if lag.seconds > limit_s:
        return Check(name=name, state="warn", message=behind, advice="Check that `perezvon work` runs and keeps up")
    return Check(name=name, state="ok", message=behind)
