"""Commands on views and policies: rebuild, and retry of parked streams."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from application.ports.operations import RebuildProgress, RebuildReport, RetryReport
from interfaces.bootstrap.database import owner_address
from interfaces.bootstrap.maintenance import SUBSCRIBERS, VIEWS, rebuild_view, retry_parked_streams
from interfaces.commands.common import on_database
from interfaces.commands.errors import DIFFERENT, FAILED
from interfaces.commands.output import show_json


def _listed(title: str, summaries: Mapping[str, str]) -> str:
    """Return a paragraph of a help text: one line per name, with its summary."""
    return "\n".join(["\b", f"{title}:", *(f"  {name:<26}{summary}" for name, summary in summaries.items())])


@click.command(epilog=_listed("VIEW is one of", VIEWS))
@click.argument("view", type=click.Choice(list(VIEWS)), metavar="VIEW")
@click.option("--accept", is_flag=True, help="Swap in the rebuilt view even if it differs.")
@on_database
def rebuild(view: str, data_dir: Path | None, *, accept: bool, as_json: bool) -> None:
    """Rebuild a view from the log.

    The new view is built beside the live one, which stays readable and up to date; then the two are compared. When they
    are equal the new one is swapped in; when they differ nothing changes, and the exit code is 3.

    \b
    Examples:
      perezvon rebuild task_list
      perezvon rebuild task_list --accept
    """
    dsn = owner_address(data_dir)
    with _progress(view, hidden=as_json) as progress:
        report = rebuild_view(dsn, view, accept=accept, progress=progress)
    if as_json:
        show_json(report)
    else:
        _show_rebuild(report)
    if not report.swapped:
        click.get_current_context().exit(DIFFERENT)


@click.command("retry-parked", epilog=_listed("NAME is one of", SUBSCRIBERS))
@click.argument("name", type=click.Choice(list(SUBSCRIBERS)), metavar="[NAME]", required=False)
@on_database
def retry_parked(name: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Retry parked streams after a fix.

    A stream is parked when a view or policy fails on one of its events. The exit code is 1 if some streams stay parked.

    \b
    Example:
      perezvon retry-parked task_list
    """
    dsn = owner_address(data_dir)
    reports = retry_parked_streams(dsn, name)
    if as_json:
        show_json({"items": reports})
    else:
        for report in reports:
            _show_retry(report)
    if any(report.still_parked for report in reports):
        click.get_current_context().exit(FAILED)


@contextmanager
def _progress(view: str, *, hidden: bool) -> Generator[RebuildProgress]:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415 - the same

    with Progress(console=Console(file=sys.stderr), disable=hidden) as bar:
        task = bar.add_task(view, total=None)
        yield lambda done, until: bar.update(task, completed=done, total=until)
        bar.update(task, completed=1, total=1)


def _show_rebuild(report: RebuildReport) -> None:
    what = f"{report.name}: {report.events} events up to position {report.position} in {report.seconds:.1f} s"
    click.echo(
        f"{what}, {'differs' if report.differs else 'equal'}, {'swapped in' if report.swapped else 'not swapped in'}"
    )
    for found in report.differences if report.differs else ():
        click.echo(f"  {found.table}: {found.differing} differ, {found.missing} missing, {found.extra} extra")
    if report.parked:
        click.echo(f"  {report.parked} streams parked")


def _show_retry(report: RetryReport) -> None:
    click.echo(f"{report.name}: {len(report.brought_in)} retried, {len(report.still_parked)} still parked")
    for parked in report.still_parked:
        click.echo(f"  {parked.stream}: {parked.error}")
