"""Commands on the event log: the history of a stream, and its state at a time or version."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from application.ports.event_log import Page
from domain.callback import callback
from domain.callback_queue import callback_queue
from domain.limits import HISTORY_PAGE_MAX
from domain.model import Recorded, tag_of
from domain.organization import organization
from domain.streams import CALLBACK_PREFIX, ORGANIZATION_PREFIX, QUEUE_PREFIX, TASK_PREFIX, prefix_of, task_stream
from domain.task import task
from interfaces.bootstrap.services import Services
from interfaces.commands.common import MOMENT, TEXT, ask, on_database
from interfaces.commands.errors import Refusal
from interfaces.commands.output import show, show_items

_REPLAYS = {
    TASK_PREFIX: task.replay,
    QUEUE_PREFIX: callback_queue.replay,
    CALLBACK_PREFIX: callback.replay,
    ORGANIZATION_PREFIX: organization.replay,
}

_stream = click.argument("stream", type=TEXT)


@click.command()
@_stream
@click.option("--after", type=click.IntRange(0, 2**53 - 1), default=0, help="Only events after this version.")
@click.option(
    "--limit",
    type=click.IntRange(1, HISTORY_PAGE_MAX),
    default=HISTORY_PAGE_MAX,
    help=f"Maximum number of events; default {HISTORY_PAGE_MAX:,}.",
)
@on_database
def history(stream: str, after: int, limit: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Show the events of a stream.

    Oldest first: who did what, when and why. A longer history is shown in pages: a last line, in JSON the key next, says
    which --after shows the next one.

    STREAM is task/<id>, the bare id of a task, queue/<id>, callback/<id> or organization/<id>.

    \b
    Examples:
      perezvon history organization/1
      perezvon history 0199f6a4-5f0b-7c3e-8d0a-1b2c3d4e5f60 --json
    """
    name = _name_of(stream)

    async def read(opened: Services) -> Page:
        if await opened.log.read_last(name) is None:
            raise _no_such_stream(name)
        return await opened.log.read_page(None, name, after=after, limit=limit)

    page = ask(data_dir, read)
    columns = ("version", "position", "type", "recorded_at", "actor", "reason", "data")
    following = page.events[-1].version if page.has_next else None
    show_items([_entry(event) for event in page.events], columns, as_json=as_json, following=following)


@click.command()
@_stream
@click.option("--as-of", type=MOMENT, help="The state at a time such as 2026-11-30T18:00:00Z.")
@click.option("--version", type=click.IntRange(1, 2**53 - 1), help="The state after this many events.")
@on_database
def replay(stream: str, as_of: datetime | None, version: int | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Show the state of a task, queue, callback or organisation, now or in the past.

    Fold the stream from its first event up to now, to a time, or to a version, and show the result.

    STREAM is task/<id>, the bare id of a task, queue/<id>, callback/<id> or organization/<id>.

    \b
    Examples:
      perezvon replay organization/1 --version 1
      perezvon replay task/0199f6a4-5f0b-7c3e-8d0a-1b2c3d4e5f60 --as-of 2026-11-30T18:00:00Z
    """
    if as_of and version:
        raise click.UsageError("Give either --as-of or --version, not both")
    name = _name_of(stream)
    events, last = ask(data_dir, partial(_read_until, name=name, version=version, as_of=as_of))
    if last is None:
        raise _no_such_stream(name)
    if version and version > last.version:
        raise Refusal("no_such_version", f"Version {version} does not exist: the stream has {last.version} versions")
    folded = _REPLAYS[prefix_of(name)](events)
    if folded is None:
        raise Refusal("not_yet", f"Nothing was recorded by then in the stream {name}")
    show(msgspec.to_builtins(folded, order="deterministic"), as_json=as_json)


async def _read_until(
    opened: Services, name: str, version: int | None, as_of: datetime | None
) -> tuple[Sequence[Recorded[Any]], Recorded[Any] | None]:
    """Return the stream as it was, and its last event."""
    return await opened.log.read_until(name, version=version, as_of=as_of), await opened.log.read_last(name)


def _name_of(stream: str) -> str:
    name = stream if "/" in stream else task_stream(stream)
    if prefix_of(name) not in _REPLAYS:
        raise click.BadParameter(
            f"Expected a stream such as task/<id> or callback/<id>, not {stream!r}", param_hint="STREAM"
        )
    return name


def _no_such_stream(name: str) -> Refusal:
    return Refusal("no_such_stream", f"No events are recorded in the stream {name}")


def _entry(event: Recorded[Any]) -> dict[str, Any]:
    data = msgspec.to_builtins(event.fact)
    return {
        "version": event.version,
        "position": event.position,
        "type": tag_of(event.fact),
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "reason": event.reason,
        "data": {name: value for name, value in data.items() if name != "type"},
    }
