"""Commands on what is derived from the record."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from application.ports.operations import RebuildProgress, RebuildReport, RetryReport
from interfaces.bootstrap.database import owner_address, service_address
from interfaces.bootstrap.maintenance import SUBSCRIBER_NAMES, VIEW_NAMES, rebuild_view, retry_parked_streams
from interfaces.commands.common import on_database
from interfaces.commands.errors import DIFFERENT, FAILED
from interfaces.commands.output import show_json


@click.command()
@click.argument("view", type=click.Choice(VIEW_NAMES), metavar="VIEW")
@click.option("--accept", is_flag=True, help="Put the new one in its place also if it differs.")
@on_database
def rebuild(view: str, data_dir: Path | None, *, accept: bool, as_json: bool) -> None:
    """Make a view anew from the log.

    It is built beside the live one, which goes on being read and kept up; then the two are compared. When they are
    equal the new one takes the place; when they differ nothing is changed, and the exit code is 3.

    VIEW is task_list, audit_trail, callback_list, queue_board, call_history or access_directory.

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
        _tell_rebuilt(report)
    if not report.swapped:
        click.get_current_context().exit(DIFFERENT)


@click.command("retry-parked")
@click.argument("name", type=click.Choice(SUBSCRIBER_NAMES), metavar="[NAME]", required=False)
@on_database
def retry_parked(name: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Bring in parked streams after a fix.

    Those are what a view or policy, or any of them, could not digest. Exits with 1 if some stay parked.

    NAME is that of a view, except access_directory, or retry_callbacks, keep_timetable, notify_webhooks or
    carry_out_callback_tasks.

    \b
    Example:
      perezvon retry-parked task_list
    """
    dsn = service_address(data_dir)
    reports = retry_parked_streams(dsn, name)
    if as_json:
        show_json({"items": reports})
    else:
        for report in reports:
            _tell_retried(report)
    if any(report.still_parked for report in reports):
        click.get_current_context().exit(FAILED)


@contextmanager
def _progress(view: str, *, hidden: bool) -> Generator[RebuildProgress]:
    from rich.console import Console  # noqa: PLC0415 - costs start-up time
    from rich.progress import Progress  # noqa: PLC0415 - the same

    with Progress(console=Console(file=sys.stderr), disable=hidden) as bar:
        task = bar.add_task(view, total=None)
        yield lambda done, until: bar.update(task, completed=done, total=until)
        bar.update(task, completed=1, total=1)


def _tell_rebuilt(report: RebuildReport) -> None:
    what = f"{report.name}: {report.events} events up to position {report.position} in {report.seconds:.1f} s"
    click.echo(
        f"{what}, {'differs' if report.differs else 'equal'}, {'in place' if report.swapped else 'not put in place'}"
    )
    for found in report.differences if report.differs else ():
        click.echo(f"  {found.table}: {found.differing} differ, {found.missing} missing, {found.extra} extra")
    if report.parked:
        click.echo(f"  {report.parked} streams parked")


def _tell_retried(report: RetryReport) -> None:
    click.echo(f"{report.name}: {len(report.brought_in)} brought in, {len(report.still_parked)} still parked")
    for parked in report.still_parked:
        click.echo(f"  {parked.stream}: {parked.error}")
