"""The commands that keep running, and the one that prepares the database for them."""

import os
from pathlib import Path

import click

from interfaces.bootstrap.database import migrate_database, wait_for_service_address
from interfaces.bootstrap.gateways import asterisk_environment
from interfaces.commands.common import data_dir_option, json_option
from interfaces.commands.output import show_json
from interfaces.config.settings import from_environment
from interfaces.demo.environment import demo_environment
from interfaces.processes.parent_watch import end_with_parent
from interfaces.processes.sockets import adopt, listen
from interfaces.processes.worker import work as run_work

_PORT = click.IntRange(0, 65535)
_host = click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is everywhere.")
_port = click.option("--port", type=_PORT, default=8080, show_default=True, help="0 takes any free one.")
_attached = click.option("--attached", is_flag=True, hidden=True, help="End when standard input ends.")


@click.command()
@data_dir_option
@_host
@_port
@click.option(
    "--demo",
    is_flag=True,
    help="In a throw-away folder: a sample day of calls, 300 people called back, and what to try next.",
)
@click.option(
    "--asterisk",
    metavar="HOST[:PORT]",
    help="Dial over this Asterisk (docs/asterisk.md) instead of a simulated network; --demo then calls 60 extensions.",
)
def up(data_dir: Path | None, host: str, port: int, asterisk: str | None, *, demo: bool) -> None:
    """Run everything on this machine.

    That is Postgres, migrations, API, worker and, unless PEREZVON_GATEWAY names another, a phone network in which no phone rings. Prints `ready http://…` when it serves; logs go to standard error. Ctrl-C ends it all. The data lie in a folder of
    your own, or in --data-dir; with PEREZVON_DATABASE_URL they lie in that Postgres (14 or newer).

    \b
    Examples:
      perezvon up
      perezvon up --demo
      perezvon up --data-dir ./data --port 8081
      PEREZVON_ASTERISK_SECRET=… perezvon up --demo --asterisk 127.0.0.1
    """
    from interfaces.processes.up import up as run_up  # noqa: PLC0415 - brings an HTTP client, which other commands do without

    if asterisk:
        os.environ.update(asterisk_environment(asterisk, from_environment()))
    if demo:
        os.environ.update(demo_environment(os.environ, on_switch=asterisk is not None))
    with listen(host, port) as listener:
        run_up(from_environment(), data_dir, listener, with_demo=demo)


@click.command()
@_host
@_port
@data_dir_option
@click.option("--socket", "descriptor", type=int, hidden=True, help="A listening socket that is open already.")
@_attached
def serve(host: str, port: int, data_dir: Path | None, descriptor: int | None, *, attached: bool) -> None:
    """Serve the HTTP API.

    Any number of these may run, each beside `work` or on another machine.

    The database must be migrated. SIGTERM drains.

    \b
    Example:
      PEREZVON_DATABASE_URL=postgresql://perezvon@db/perezvon perezvon serve --host 0.0.0.0
    """
    if attached:
        end_with_parent()
    from interfaces.api.server import serve as run_server  # noqa: PLC0415 - brings the web framework

    with adopt(descriptor) if descriptor is not None else listen(host, port) as listener:
        run_server(wait_for_service_address(data_dir), from_environment(), listener)


@click.command()
@data_dir_option
@_attached
def work(data_dir: Path | None, *, attached: bool) -> None:
    """Keep the views up with the log, dial, deliver webhooks.

    Any number of these may run; they take turns. Only with PEREZVON_GATEWAY set does it dial.

    The database must be migrated. SIGTERM drains. PEREZVON_METRICS_PORT shows its metrics.

    \b
    Example:
      PEREZVON_DATABASE_URL=postgresql://perezvon@db/perezvon perezvon work
    """
    if attached:
        end_with_parent()
    run_work(wait_for_service_address(data_dir), from_environment())


@click.command()
@data_dir_option
@json_option
def migrate(data_dir: Path | None, *, as_json: bool) -> None:
    """Bring the schema up to date.

    Works as the database's owner, and while older processes serve.

    \b
    Example:
      perezvon migrate
    """
    applied = migrate_database(data_dir)
    if as_json:
        show_json({"applied": applied})
    else:
        click.echo("\n".join(applied) or "The schema is up to date.")
