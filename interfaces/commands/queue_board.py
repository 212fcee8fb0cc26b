"""``queue-board``: the state of an organisation's callback queues."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from application.errors import OrganizationNotFound
from application.queries.queue_board import Idle, QueueBoardRow
from interfaces.bootstrap.services import Services
from interfaces.commands.common import ORGANIZATION_ID, ask, on_database
from interfaces.commands.output import show_items

_COLUMNS = (
    "id",
    "name",
    "status",
    "calls",
    "waiting",
    "delayed",
    "succeeded",
    "failed",
    "answered",
    "oldest due",
    "idle",
)
_AT_ONCE = 1_000


@click.command("queue-board")
@click.option("--organization", "organization_id", type=ORGANIZATION_ID, required=True, help="The organisation's id.")
@click.option("--queue", "queue_id", type=click.IntRange(1, 2**53 - 1), help="Show only this queue.")
@on_database
def queue_board(organization_id: int, queue_id: int | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Show the state of callback queues.

    The column `idle` gives the reason why no call starts, for example that nothing is due, that the switch is unreachable, or
    that the organisation has made all its calls of the day, and in UTC until when. Only the first reason is shown.

    \b
    Examples:
      perezvon queue-board --organization 1
      perezvon queue-board --organization 1 --queue 65 --json
    """
    found = ask(data_dir, lambda services: _board_rows(services, organization_id, queue_id))
    show_items(found if as_json else [_line(queue) for queue in found], _COLUMNS, as_json=as_json)


async def _board_rows(services: Services, organization_id: int, queue_id: int | None) -> Sequence[QueueBoardRow]:
    if await services.directory.organization(organization_id) is None:
        raise OrganizationNotFound
    found: list[QueueBoardRow] = []
    while True:
        after = found[-1].id if found else 0
        page = await services.queue_board.rows(organization_id, queue_id=queue_id, after=after, limit=_AT_ONCE)
        found += page.items
        if len(page.items) < _AT_ONCE:
            return found


def _line(queue: QueueBoardRow) -> dict[str, object]:
    rate, due = queue.answer_rate, queue.oldest_due
    return {
        "id": queue.id,
        "name": queue.name,
        "status": queue.status,
        "calls": f"{queue.taken} of {queue.concurrent_task_limit}",
        "waiting": queue.waiting,
        "delayed": queue.delayed,
        "succeeded": queue.succeeded,
        "failed": queue.failed,
        "answered": None if rate is None else f"{rate:.0%}",
        "oldest due": due and f"{due:%Y-%m-%d %H:%M:%S}",
        "idle": queue.idle and _reason(queue.idle, queue.idle_until),
    }


def _reason(idle: Idle, until: datetime | None) -> str:
    reason = idle.replace("_", " ")
    return f"{reason} until {until:%Y-%m-%d %H:%M:%S}" if until else reason
