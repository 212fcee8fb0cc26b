"""Each index of callback_list and queue_board has a query that needs it, and no query reads a whole table."""

import re
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from application.queries.callback_list import CallbackListFilter
from domain.callback.callback import Status
from domain.callback.events import FinishResult
from infrastructure.read_models.callback_list.query import WAITING, page_statement
from infrastructure.read_models.queue_board.query import COUNT, QUEUES, STANDING, STANDINGS
from infrastructure.read_models.registry import PROJECTIONS
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

CALLBACKS = 20_000
QUEUES_OF_ALL = 20_000
PAGES: list[tuple[CallbackListFilter, str]] = [
    (CallbackListFilter(), "callback_list_queue"),
    (CallbackListFilter(status=Status.DELAYED), "callback_list_status"),
    (CallbackListFilter(status=Status.FINISHED), "callback_list_status"),
    (CallbackListFilter(finish_result=FinishResult.FAILED), "callback_list_result"),
]
BOARD = {
    QUEUES: {"queue_board_organization"},
    COUNT: {"queue_board_organization"},
    WAITING: {"callback_counts_organization"},
    STANDINGS: {"queue_board_organization", "callback_counts_queue", "timetable_due"},
    STANDING: {"queue_board_organization", "callback_counts_queue", "timetable_due"},
}
_FILL = """
INSERT INTO perezvon_1.callback_list (id, organization_id, queue_id, version, a_number, b_number, try_count,
    try_again_pause, start_time, created_at, updated_at, status, attempt, finish_result, is_deleted)
SELECT n, 1, CASE WHEN n %% 100 = 0 THEN n / 100 ELSE 1 END, 1, '101', '102', 1, 0, now(), now(), now(),
    CASE WHEN n %% 50 = 0 THEN 'delayed' WHEN n %% 2 = 0 THEN 'scheduled' ELSE 'finished' END, 0,
    CASE WHEN n %% 2 = 0 THEN NULL WHEN n %% 500 = 1 THEN 'failed' ELSE 'success' END, false
FROM generate_series(1, %s) AS n"""


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def plan(connection: psycopg.Connection, query: bytes, values: dict[str, Any]) -> str:
    """Return Postgres' generic plan of the query, which it keeps for all values."""
    connection.execute("SET plan_cache_mode = force_generic_plan")
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", query.decode())))
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", query.decode())
    types = ", ".join("text" if isinstance(values[name], str) else "bigint" for name in names)
    connection.execute(f"PREPARE asked ({types}) AS {text}".encode())
    given = sql.SQL(", ").join(values[name] for name in names)
    lines = connection.execute(sql.SQL("EXPLAIN EXECUTE asked ({})").format(given)).fetchall()
    connection.execute("DEALLOCATE asked")
    return "\n".join(line for (line,) in lines)


def page_of(wanted: CallbackListFilter, after: int) -> tuple[bytes, dict[str, Any]]:
    asked = {"status": wanted.status, "finish_result": wanted.finish_result, "after": after or None}
    filters = {name: value for name, value in asked.items() if value is not None}
    return page_statement(filters.keys(), wanted), filters | {
        "organization_id": 1,
        "queue_id": 1,
        "offset": 20,
        "limit": 20,
    }


async def test_a_page_of_callbacks_walks_its_index(views: Views) -> None:
    await views.do(_FILL, CALLBACKS)
    await views.do("VACUUM ANALYZE perezvon_1.callback_list, perezvon_1.callback_counts")
    with psycopg.connect(views.dsn) as connection:
        for wanted, index in PAGES:
            for after in (0, CALLBACKS // 2):
                found = plan(connection, *page_of(wanted, after))
                assert f"Scan using {index} on" in found, wanted
                assert f"Scan Backward using {index} on" in found
                assert "Index Scan using callback_list_id on" in found
                assert "Seq Scan on callback_list" not in found
                assert "Sort Key: callback_list.id" not in found


async def test_the_board_walks_its_indexes(views: Views) -> None:
    await views.do(
        "INSERT INTO perezvon_1.queue_board SELECT n, n %% 200, 1, 'q', NULL, 'on', 1, now(), false"
        " FROM generate_series(1, %s) AS n",
        QUEUES_OF_ALL,
    )
    await views.do(
        "INSERT INTO perezvon_1.callback_counts SELECT n, n %% 200, 1, 0, 0, 0, 0, 0, 0, false"
        " FROM generate_series(1, %s) AS n",
        QUEUES_OF_ALL,
    )
    await views.do(
        "INSERT INTO perezvon_1.timetable (callback_id, queue_id, organization_id, due_at, position)"
        " SELECT n, 1 + n %% 100, 1, now(), 1 FROM generate_series(1, %s) AS n",
        CALLBACKS,
    )
    await views.do("VACUUM ANALYZE perezvon_1.queue_board, perezvon_1.callback_counts, perezvon_1.timetable")
    values = {"organization_id": 1, "queue_id": 1, "after": 0, "offset": 0, "limit": 50}
    with psycopg.connect(views.dsn) as connection:
        for query, indexes in BOARD.items():
            found = plan(connection, query, values)
            assert indexes == {index for index in indexes if re.search(f"(using|Index Scan on) {index}", found)}, found
            assert not re.search(r"Seq Scan on (queue_board|callback_counts|timetable|callback_list)", found)


def test_pages_name_their_tables_in_the_order_in_which_a_swap_locks_them() -> None:
    locked = [table.name for table in PROJECTIONS["callback_list"].tables]
    for wanted, _ in PAGES:
        text = page_of(wanted, after=1)[0].decode()
        assert list(dict.fromkeys(re.findall(r"\.(callback_counts|callback_list)\b", text))) == locked


async def test_there_is_no_index_that_no_page_needs(views: Views) -> None:
    needed = {index for _, index in PAGES} | set[str]().union(*BOARD.values()) | {"callback_list_id", "queue_board_id"}
    found = "SELECT indexname FROM pg_indexes WHERE tablename IN ('callback_list', 'callback_counts', 'queue_board')"
    assert {name for (name,) in await views.rows(found)} == needed - {"timetable_due"}
