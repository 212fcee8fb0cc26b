"""Each index of the views has a query that needs it, and each query has its index: with many rows no query reads a whole table."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from infrastructure.read_models.audit_trail import query as audit_trail_query
from infrastructure.read_models.registry import PROJECTIONS
from infrastructure.read_models.task_list import query as task_list_query
from infrastructure.read_models.task_list.grams import search_grams
from tests.support.views import Views, add_grams, fill_task_list, open_views

pytestmark = pytest.mark.anyio

TASKS = 20_000
EVENTS = 30_000
SMALL = 65  # an organisation with few tasks

TASK_PAGES: list[tuple[dict[str, Any], bool, str]] = [
    ({}, False, "task_list_newest"),
    ({}, True, "task_list_newest_of_all"),
    ({"status": "failed"}, False, "task_list_kind"),
    ({"task_type": "order"}, False, "task_list_kind"),
    ({"priority": "high"}, True, "task_list_kind"),
    ({"status": "pending", "task_type": "order", "priority": "low"}, False, "task_list_kind"),
    ({"assigned_user_id": "m7"}, False, "task_list_assigned"),
    ({"assigned_user_id": "m7", "status": "pending"}, False, "task_list_assigned"),
    ({"caller_phone": "+770177"}, False, "task_list_caller"),
    ({"search": "%a1b2%"}, True, "task_list_title"),
    ({"search": "%a1b2%", "status": "pending"}, False, "task_list_title"),
    ({"short_search": "%zq%", "grams": search_grams(1, "zq")}, False, "task_list_grams"),
    ({"short_search": "%z%", "grams": search_grams(1, "z"), "status": "pending"}, True, "task_list_grams"),
]
EVENT_PAGES: list[tuple[dict[str, Any], str]] = [
    ({}, "audit_trail_time"),
    ({"since": datetime(2026, 1, 1, 3, tzinfo=UTC), "until": datetime(2026, 1, 1, 4, tzinfo=UTC)}, "audit_trail_time"),
    ({"actor": "member/7"}, "audit_trail_actor"),
    ({"stream": "task/7"}, "audit_trail_stream"),
    ({"type": "task.filed.v1"}, "audit_trail_type"),
    ({"actor": "member/7", "since": datetime(2026, 1, 1, 3, tzinfo=UTC)}, "audit_trail_actor"),
    ({"actor": "member/7", "until": datetime(2026, 1, 1, 3, tzinfo=UTC)}, "audit_trail_time"),
]


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def plan(connection: psycopg.Connection, query: bytes, values: dict[str, Any]) -> str:
    """Return Postgres' plan of the query."""
    lines = psycopg.ClientCursor(connection).execute(b"EXPLAIN " + query, values).fetchall()
    return "\n".join(line for (line,) in lines)


async def test_a_page_of_tasks_walks_its_index(views: Views) -> None:
    await fill_task_list(views, TASKS)
    await fill_task_list(views, TASKS // 40, organization_id=SMALL)
    await add_grams(views)
    await views.do("VACUUM ANALYZE perezvon_1.task_list, perezvon_1.task_counts")
    with psycopg.connect(views.dsn) as connection:
        for filters, cancelled, index in TASK_PAGES:
            query = task_list_query.page_statement(filters.keys(), include_cancelled=cancelled)
            later = task_list_query.page_statement({*filters, "after"}, include_cancelled=cancelled)
            values = filters | {"organization_id": 1, "limit": 20, "after": "00000000-0000-7000-8000-000000008000"}
            for text, offset in ((query, 0), (query, 8000), (later, 0)):
                found = plan(connection, text, values | {"offset": offset})
                assert f"{index} " in found, filters
                assert "task_list_id " in found
                assert "Seq Scan on task_" not in found
                assert text is query or "created_at, id) < ROW" in found
                assert "task_counts_kind " in found or filters.keys() & {"search", "short_search", "caller_phone"}
        # A search that trigrams do not help enough reads the organisation's own tasks.
        query = task_list_query.page_statement({"search"}, include_cancelled=False)
        found = plan(connection, query, {"search": "%заявка%", "organization_id": SMALL, "limit": 20, "offset": 0})
        assert "task_list_newest " in found
        assert "Seq Scan on task_" not in found
        assert "task_list_title " not in found


async def test_a_page_of_the_audit_trail_walks_its_index(views: Views) -> None:
    await views.do(
        "INSERT INTO perezvon_1.audit_trail (position, stream, version, type, recorded_at, organization_id, actor)"
        " SELECT n, 'task/' || n %% 10000, n / 10000, (ARRAY['task.filed.v1','task.started.v1','task.completed.v1',"
        "'task.failed.v1','organization.created.v1'])[1 + n %% 5], timestamptz '2026-01-01' + n * interval '1 second',"
        " 1 + n %% 3, 'member/' || n %% 100 FROM generate_series(1, %s) AS n",
        EVENTS,
    )
    await views.do("VACUUM ANALYZE perezvon_1.audit_trail")
    with psycopg.connect(views.dsn) as connection:
        for filters, index in EVENT_PAGES:
            for after in ({}, {"after": EVENTS // 2}):
                query = audit_trail_query.page_statement((filters | after).keys())
                found = plan(connection, query, filters | after | {"organization_id": 1, "limit": 100})
                assert f"{index} " in found, filters
                is_in_order_of_times = not filters.keys() & {"actor", "stream", "type"}
                assert ("audit_trail_position " in found) is (bool(after) and is_in_order_of_times)
                assert "Seq Scan on audit_trail" not in found


def test_pages_name_their_tables_in_the_order_in_which_a_swap_locks_them() -> None:
    locked = [table.name for table in PROJECTIONS["task_list"].tables]
    for filters, cancelled, _ in TASK_PAGES:
        text = task_list_query.page_statement(filters.keys(), include_cancelled=cancelled).decode()
        named = list(dict.fromkeys(re.findall(r"\.(task_counts|task_list)\b", text)))
        assert named == [name for name in locked if name in named]
        assert "task_list" in named


async def test_there_is_no_index_that_no_page_needs(views: Views) -> None:
    needed = {index for *_, index in [*TASK_PAGES, *EVENT_PAGES]} | {
        "task_list_id",
        "task_counts_kind",
        "audit_trail_position",
    }
    found = "SELECT indexname FROM pg_indexes WHERE tablename IN ('task_list', 'task_counts', 'audit_trail')"
    assert {name for (name,) in await views.rows(found)} == needed
