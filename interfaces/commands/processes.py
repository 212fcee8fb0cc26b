"""Commands that run processes: up, serve, work; and migrate, which prepares the database."""

import os
import socket
from pathlib import Path

import click

from interfaces.bootstrap.database import api_address, migrate_database, worker_address
from interfaces.bootstrap.gateways import asterisk_environment
from interfaces.commands.common import data_dir_option, json_option
from interfaces.commands.output import show_json
from interfaces.config.settings import Settings, from_environment
from interfaces.demo.environment import demo_environment
from interfaces.processes.metrics_server import OF_API, OF_WORKER, open_metrics
from interfaces.processes.parent_watch import end_with_parent
from interfaces.processes.sockets import adopt, listen, reserve
from interfaces.processes.worker import work as run_work

_PORT = click.IntRange(0, 65535)
_host = click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every interface."
)
_port = click.option("--port", type=_PORT, default=8080, show_default=True, help="0 takes any free port.")
_metrics_socket = click.option(
    "--metrics-socket",
    "metrics_descriptor",
    type=int,
    hidden=True,
    help="File descriptor of a listening socket for the metrics that is already open.",
)
_attached = click.option("--attached", is_flag=True, hidden=True, help="End when standard input ends.")


@click.command()
@data_dir_option
@_host
@_port
@click.option(
    "--demo",
    is_flag=True,
    help="In a temporary folder: file a sample day of calls, call 300 people back, print commands to try.",
)
@click.option(
    "--asterisk",
    metavar="HOST[:PORT]",
    help="Dial over this Asterisk (docs/asterisk.md) instead of a simulated network; --demo then calls 60 extensions.",
)
def up(data_dir: Path | None, host: str, port: int, asterisk: str | None, *, demo: bool) -> None:
    """Run everything on this machine.

    Start Postgres, migrations, the API, a worker and, unless PEREZVON_GATEWAY names a switch, a simulated phone network in
    which no phone rings. Print `ready http://…` when the API accepts requests; logs go to standard error. Ctrl-C stops
    everything. Data is kept in your own data folder or in --data-dir; with PEREZVON_DATABASE_URL, here the owner's,
    it is kept in that Postgres (14 or newer).

    \b
    Examples:
      perezvon up
      perezvon up --demo
      perezvon up --data-dir ./data --port 8081
      PEREZVON_ASTERISK_SECRET=… perezvon up --demo --asterisk 127.0.0.1
    """
    from interfaces.processes.up import up as run_up  # noqa: PLC0415 - imports an HTTP client, which other commands do not need

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
@click.option(
    "--socket", "descriptor", type=int, hidden=True, help="File descriptor of a listening socket that is already open."
)
@_metrics_socket
@_attached
def serve(
    host: str,
    port: int,
    data_dir: Path | None,
    descriptor: int | None,
    metrics_descriptor: int | None,
    *,
    attached: bool,
) -> None:
    """Serve the HTTP API.

    Any number of these processes may run, on one machine or several.

    The database must be migrated. SIGTERM drains and stops. Prometheus metrics are at PEREZVON_METRICS_ADDRESS, by default
    127.0.0.1:9464.

    \b
    Example:
      PEREZVON_DATABASE_URL=postgresql://perezvon_app@db/perezvon perezvon serve --host 0.0.0.0
    """
    if attached:
        end_with_parent()
    from interfaces.api.server import serve as run_server  # noqa: PLC0415 - imports the web framework

    settings = from_environment()
    with (
        # While the process waits for its database, clients are refused at once.
        adopt(descriptor) if descriptor is not None else reserve(host, port) as listener,
        _metrics(metrics_descriptor, settings, OF_API) as metrics,
    ):
        run_server(api_address(data_dir), settings, listener, metrics)


@click.command()
@data_dir_option
@_metrics_socket
@_attached
def work(data_dir: Path | None, metrics_descriptor: int | None, *, attached: bool) -> None:
    """Update views, dial callbacks, deliver webhooks.

    Any number of these processes may run; they divide the work. Callbacks are dialled only with PEREZVON_GATEWAY set.

    The database must be migrated. SIGTERM drains and stops. Prometheus metrics are at PEREZVON_METRICS_ADDRESS, by default
    127.0.0.1:9465.

    \b
    Example:
      PEREZVON_DATABASE_URL=postgresql://perezvon_app@db/perezvon perezvon work
    """
    if attached:
        end_with_parent()
    settings = from_environment()
    with _metrics(metrics_descriptor, settings, OF_WORKER) as metrics:
        run_work(worker_address(data_dir), settings, metrics)


def _metrics(descriptor: int | None, settings: Settings, default: str) -> socket.socket:
    return adopt(descriptor) if descriptor is not None else open_metrics(settings.metrics_address, default)


@click.command()
@data_dir_option
@json_option
def migrate(data_dir: Path | None, *, as_json: bool) -> None:
    """Migrate the database schema to this version.

    Connect as the database's owner, PEREZVON_OWNER_URL. Older processes may keep running meanwhile.

    \b
    Example:
      perezvon migrate
    """
    applied = migrate_database(data_dir)
    if as_json:
        show_json({"applied": applied})
    else:
        click.echo("\n".join(applied) or "The schema is up to date.")
