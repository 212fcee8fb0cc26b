"""Fill a database with queues and waiting callbacks as the policies create them: through the log's append function."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from domain.callback.events import CallbackDetails, CallbackScheduled
from domain.model import tag_of
from domain.streams import callback_stream
from infrastructure.event_log.append import APPEND_FUNCTION
from infrastructure.event_log.codec import encode
from tests.support.dispatching import ANSWERS, CALL_CENTRE, Exchange

_CHUNK = 20_000
_IDS_FROM = 1_000_000  # above those that Exchange gives to its callbacks and queues

_ADD_QUEUES = """
    INSERT INTO perezvon_1.queue_slots (queue_id, organization_id, is_on, slots)
    SELECT n * 64 + 1, %s, true, %s
    FROM generate_series(%s::bigint, %s) AS n
"""
# The template of the state names callback 0 and queue 0.
_ADD_CALLBACKS = f"""
    WITH made AS MATERIALIZED (
        SELECT n, (n + {_IDS_FROM}) * 64 + 1 AS callback_id, (%(queues)s::bigint[])[1 + n %% cardinality(%(queues)s)] AS queue_id
        FROM generate_series(%(first)s::bigint, %(last)s) AS n
    ), columns AS (
        SELECT
            array_agg((n - %(first)s + 1)::int ORDER BY n) AS commands,
            array_agg('callback/' || callback_id ORDER BY n) AS streams,
            array_agg(1::bigint ORDER BY n) AS versions,
            array_agg(%(tag)s::text ORDER BY n) AS tags,
            array_agg(convert_to(replace(replace(
                %(state)s, 'callback/0', 'callback/' || callback_id), '"queue_id":0', '"queue_id":' || queue_id), 'UTF8')
                ORDER BY n) AS states,
            array_agg(%(organization)s::bigint ORDER BY n) AS organizations,
            array_agg('bench'::text ORDER BY n) AS actors
        FROM made
    ), appended AS MATERIALIZED (
        SELECT a.answered, a.last_position
        FROM columns AS c, {APPEND_FUNCTION}(
            c.commands, c.streams, c.versions, c.tags, c.states, c.organizations, c.actors,
            array_fill(NULL::text, ARRAY[cardinality(c.commands)]), c.actors, c.actors) AS a
    )
    INSERT INTO perezvon_1.timetable (callback_id, queue_id, organization_id, due_at, position, a_line)
    SELECT callback_id, queue_id, %(organization)s, %(due)s + n * interval '1 ms', last_position, %(line)s
    FROM made
    JOIN appended ON answered = n - %(first)s + 1
    ORDER BY callback_id
"""


class Backlog(msgspec.Struct, frozen=True):
    """Callbacks to add, spread evenly over ``queues`` and due a millisecond apart; ``line`` is the key of A's line."""

    queues: Sequence[int]
    size: int
    due_in_s: float
    organization_id: int = 1
    line: int | None = None


async def add_queues(exchange: Exchange, number: int, *, slots: int = 100, organization_id: int = 1) -> list[int]:
    """Add queues that are on; return their ids."""
    ((last,),) = await exchange.rows("SELECT greatest(max(queue_id) / 64, %s) FROM perezvon_1.queue_slots", _IDS_FROM)
    await exchange.do(_ADD_QUEUES, organization_id, slots, last + 1, last + number)
    return [n * 64 + 1 for n in range(last + 1, last + number + 1)]


async def add_backlog(exchange: Exchange, backlog: Backlog) -> None:
    """Schedule the callbacks; the tables are vacuumed afterwards, as autovacuum does within a minute."""
    details = CallbackDetails(subject=callback_stream(0), a_number=ANSWERS, b_number=CALL_CENTRE)
    due = datetime.now(UTC) + timedelta(seconds=backlog.due_in_s)
    scheduled = CallbackScheduled(try_count=1, try_again_pause=60, start_time=due, queue_id=0, personal=details)
    values = {
        "queues": [*backlog.queues],
        "tag": tag_of(scheduled),
        "state": encode(scheduled).decode(),
        "organization": backlog.organization_id,
        "due": due,
        "line": backlog.line,
    }
    for first in range(0, backlog.size, _CHUNK):
        chunk = {"first": first, "last": min(first + _CHUNK, backlog.size) - 1}
        await exchange.owner.execute(_ADD_CALLBACKS.encode(), values | chunk)
    for table in ("timetable", "queue_slots", "stored_events"):
        await exchange.do(f"VACUUM ANALYZE perezvon_1.{table}")
