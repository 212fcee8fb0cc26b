"""The command line: ``perezvon``."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click
from msgspec.structs import replace

from interfaces.commands.administration import member, operator, token
from interfaces.commands.doctor import doctor
from interfaces.commands.errors import command_error
from interfaces.commands.history import history, replay
from interfaces.commands.organizations import organization
from interfaces.commands.output import printable_json
from interfaces.commands.processes import migrate, serve, up, work
from interfaces.commands.queue_board import queue_board
from interfaces.commands.simulator import simulator
from interfaces.commands.views import rebuild, retry_parked
from interfaces.commands.webhooks import webhook_secret
from interfaces.config.log_setup import set_up_logging
from interfaces.config.settings import from_environment, unknown_variables

_LONG_RUNNING = {"up", "serve", "work", "simulator"}
_INTERRUPTED = 130
_TERMINATED = 143


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="perezvon", message="%(version)s")
@click.pass_context
def perezvon(context: click.Context) -> None:
    """Run the tasks and callbacks of a call centre, with a complete record of every change.

    \b
    Start with
      perezvon up --demo                       everything on this machine, with a sample day of calls
    or
      perezvon up                              the same, empty, in your own folder; then, in another terminal:
      perezvon organization create "Acme"      a tenant, and its first token
      perezvon operator add "Line 1" --organization 1

    Commands use the database of PEREZVON_DATABASE_URL; without it that of --data-dir, by default the one of `up`.
    """  # noqa: D301 - click reads a \b as "keep these lines"
    settings = from_environment()
    if context.invoked_subcommand not in _LONG_RUNNING and "PEREZVON_LOG_LEVEL" not in os.environ:
        settings = replace(settings, log_level="error")
    set_up_logging(settings, sys.stderr)
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        context.color = False
    # The parent of an attached process has warned already, and programs expect one object on standard error.
    if not {"--attached", "--json"}.intersection(context.obj or ()):
        _warn_of_unknown_variables()


for _command in (
    up, serve, work, simulator, migrate, organization, member, operator, token, history, replay, queue_board, rebuild, retry_parked,
    doctor, webhook_secret,
):  # fmt: skip
    perezvon.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0 success, 1 failure, 2 bad input, 3 a rebuild that differs from the live view."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _exit)  # a normal exit, so that atexit handlers run
    _escape_what_the_locale_cannot_encode()
    try:
        return perezvon.main(words, prog_name="perezvon", standalone_mode=False, obj=words) or 0
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of the output has closed it
        return 1
    except Exception as error:  # noqa: BLE001 - each error is reported as a sentence
        return _report(error, as_json="--json" in words)


def _report(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("PEREZVON_LOG_LEVEL") == "debug":
        traceback.print_exception(error)
    found = command_error(error)
    if as_json:
        click.echo(printable_json({"error": {"code": found.code, "message": found.message}}), err=True)
    elif isinstance(error, click.UsageError):
        error.show()
    else:
        click.echo(found.message, err=True)
    return found.exit_code


def _escape_what_the_locale_cannot_encode() -> None:
    """Escape such characters: an error would end the command, perhaps before it printed a secret that is shown once."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _warn_of_unknown_variables() -> None:
    for name, meant in unknown_variables().items():
        advice = f"did you mean {meant}?" if meant else "docs/settings.md lists all settings."
        click.echo(f"Warning: {name} is not a setting; {advice}", err=True)


def _exit(_number: int, _frame: object) -> NoReturn:
    sys.exit(_TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
