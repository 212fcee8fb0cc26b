"""Commands on the event log: the history of a stream, and its state at a time or version."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from domain.callback import callback
from domain.callback_queue import callback_queue
from domain.model import Recorded, tag_of
from domain.organization import organization
from domain.streams import CALLBACK_PREFIX, ORGANIZATION_PREFIX, QUEUE_PREFIX, TASK_PREFIX, prefix_of, task_stream
from domain.task import task
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
@on_database
def history(stream: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Show the events of a stream.

    Oldest first: who did what, when and why.

    STREAM is task/<id>, the bare id of a task, queue/<id>, callback/<id> or organization/<id>.

    \b
    Examples:
      perezvon history organization/1
      perezvon history 0199f6a4-5f0b-7c3e-8d0a-1b2c3d4e5f60 --json
    """
    items = [_entry(event) for event in _read(stream, data_dir)]
    show_items(items, ("version", "position", "type", "recorded_at", "actor", "reason", "data"), as_json=as_json)


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
    events = _read(stream, data_dir)
    if version and version > len(events):
        raise Refusal("no_such_version", f"Version {version} does not exist: the stream has {len(events)} versions")
    if as_of:
        version = sum(event.recorded_at <= as_of for event in events)
    folded = _REPLAYS[prefix_of(events[0].stream)](events[:version])
    if folded is None:
        raise Refusal(
            "not_yet",
            f"Nothing was recorded by then: the stream begins at {events[0].recorded_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        )
    show(msgspec.to_builtins(folded, order="deterministic"), as_json=as_json)


def _read(stream: str, data_dir: Path | None) -> Sequence[Recorded[Any]]:
    name = stream if "/" in stream else task_stream(stream)
    if prefix_of(name) not in _REPLAYS:
        raise click.BadParameter(
            f"Expected a stream such as task/<id> or callback/<id>, not {stream!r}", param_hint="STREAM"
        )
    events = ask(data_dir, lambda services: services.log.read(name))
    if not events:
        raise Refusal("no_such_stream", f"No events are recorded in the stream {name}")
    return events


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
