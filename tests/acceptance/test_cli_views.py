"""Commands for views: rebuild, comparison and swap; and retries of parked streams."""

import asyncio
import json
from collections.abc import Callable

import psycopg
import pytest

from infrastructure.postgres.connections import service_dsn
from infrastructure.read_models.registry import PROJECTIONS
from interfaces.bootstrap.maintenance import VIEWS
from tests.support.shell import Shell, run
from tests.support.waiting import eventually_async
from tests.support.worker_parts import project

pytest_plugins = ["tests.support.shells"]

Folded = Callable[[], None]


@pytest.fixture
def folded(database: str, acme: str) -> Folded:
    """Return a function that runs a worker until the views have caught up with the log."""

    async def up_to_head() -> bool:
        query = (
            "SELECT count(*) FROM perezvon_1.checkpoints WHERE name = ANY(%s)"
            " AND position = (SELECT max(notification_id) FROM perezvon_1.stored_events)"
        )
        async with await psycopg.AsyncConnection.connect(database) as connection:
            cursor = await connection.execute(query.encode(), ([*PROJECTIONS],))
            return await cursor.fetchone() == (len(PROJECTIONS),)

    async def work() -> None:
        stop = asyncio.Event()
        working = asyncio.create_task(project(service_dsn(database), stop))
        await eventually_async(up_to_head)
        stop.set()
        await working

    return lambda: asyncio.run(work())


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_that_is_right_is_rebuilt_and_put_in_place(shell: Shell, folded: Folded, view: str) -> None:
    folded()
    report = shell.json("rebuild", view)
    assert (report["name"], report["events"], report["swapped"]) == (view, 2, True)


def test_a_view_that_is_wrong_stops_the_rebuild_with_exit_code_3_unless_accepted(
    shell: Shell, folded: Folded, database: str
) -> None:
    folded()
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE perezvon_1.audit_trail SET actor = 'wrong' WHERE position = 1")
    code, out, _ = shell.run("rebuild", "audit_trail", "--json")
    report = json.loads(out)
    assert (code, report["swapped"]) == (3, False)
    assert report["differences"] == [{"table": "audit_trail", "differing": 1, "missing": 0, "extra": 0}]
    code, out, _ = shell.run("rebuild", "audit_trail")
    assert code == 3
    assert "1 differ, 0 missing, 0 extra" in out
    assert shell.json("rebuild", "audit_trail", "--accept")["swapped"] is True
    assert shell.json("rebuild", "audit_trail")["differences"][0]["differing"] == 0


def test_people_see_how_far_a_rebuild_has_come(shell: Shell, folded: Folded) -> None:
    folded()
    code, out, err = shell.run("rebuild", "audit_trail")
    assert code == 0
    assert out.startswith("audit_trail: 2 events up to position 2 in ")
    assert "100%" in err


def test_a_view_that_nobody_knows_is_refused(shell: Shell) -> None:
    assert shell.refusal("rebuild", "weather")[0] == 2
    assert shell.refusal("retry-parked", "weather")[0] == 2


def test_parked_streams_are_brought_in_again(shell: Shell, folded: Folded, database: str) -> None:
    folded()
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO perezvon_1.parked_streams (name, stream, version, position, error)"
            " VALUES ('audit_trail', 'organization/1', 2, 2, 'was broken')"
        )
    (report,) = shell.json("retry-parked", "audit_trail")["items"]
    assert report == {"name": "audit_trail", "brought_in": ["organization/1"], "still_parked": []}
    assert shell.run("retry-parked")[1].splitlines()[0] == "audit_trail: 0 retried, 0 still parked"


def test_streams_that_cannot_be_brought_in_stay_parked_and_are_told(
    shell: Shell, folded: Folded, database: str
) -> None:
    folded()
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("ALTER TABLE perezvon_1.audit_trail ADD CHECK (version <> 2) NOT VALID")
        owner.execute("DELETE FROM perezvon_1.audit_trail WHERE version = 2")
        owner.execute(
            "INSERT INTO perezvon_1.parked_streams (name, stream, version, position, error)"
            " VALUES ('audit_trail', 'organization/1', 2, 2, 'was broken')"
        )
    done = run("retry-parked", "audit_trail", PEREZVON_OWNER_URL=database)
    assert done.returncode == 1
    assert done.stdout.startswith("audit_trail: 0 retried, 1 still parked\n  organization/1: ")
    assert "stream parked" in done.stderr
