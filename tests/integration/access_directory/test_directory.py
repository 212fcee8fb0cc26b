"""The access directory: written together with its events by one function, equal to a fold of the log, rebuilt under traffic."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from application.errors import ConcurrentUpdate
from application.ids import digest_of
from application.ports.operations import Difference, RebuildReport
from domain.model import Envelope
from domain.organization.events import (
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    OperatorAdded,
    OperatorDetails,
    OperatorKeyRenewed,
    OperatorRemoved,
    OrganizationCreated,
    OrganizationFact,
    PersonName,
    Settings,
    SettingsChanged,
    TokenIssued,
    TokenRevoked,
    WebhookSecretRotated,
)
from domain.permissions import Role
from domain.streams import organization_stream
from infrastructure.access_directory import query
from infrastructure.access_directory.comparison import differing_rows
from infrastructure.access_directory.organizations import PostgresOrganizations
from infrastructure.access_directory.projection import AccessDirectory
from infrastructure.event_log.append import ForeignStream
from infrastructure.operations.rebuild import rebuild
from infrastructure.postgres.connections import Pool, service_dsn
from interfaces.bootstrap.services import services
from tests.support.histories import filed
from tests.support.logs import ENVELOPE, open_log
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

ACME = 65
TABLES = [table.name for table in AccessDirectory.tables]
FACTS: Sequence[OrganizationFact] = (
    OrganizationCreated(name="Acme", settings=Settings()),
    MemberAdded(member_id="m1", role=Role.ADMIN, personal=PersonName(subject="m1", name="Анна")),
    MemberAdded(member_id="m2", role=Role.AGENT, personal=PersonName(subject="m2", name="Пётр 'и' \"Ко\"")),
    OperatorAdded(
        operator_number=1,
        key_hash=digest_of("k"),
        member_id="m1",
        personal=OperatorDetails(subject="m1", name="Line", number="1001"),
    ),
    OperatorAdded(operator_number=2, key_hash=digest_of("l"), personal=OperatorDetails(subject="o2", name="Bot")),
    OperatorKeyRenewed(operator_number=1, key_hash=digest_of("m")),
    OperatorRemoved(operator_number=2),
    TokenIssued(token_id="t1", role=Role.AGENT, secret_hash="h1", member_id="m1", name="desk"),
    TokenIssued(token_id="t2", role=Role.AGENT, secret_hash="h2", expires_at=datetime(2027, 1, 1, tzinfo=UTC)),
    TokenRevoked(token_id="t2"),
    SettingsChanged(settings=Settings(region="RU")),
    WebhookSecretRotated(overlap=5),
    MemberRoleChanged(member_id="m1", role=Role.SUPERVISOR),
    MemberRemoved(member_id="m2"),
)


def ignore(_done: int, _until: int) -> None:
    pass


@pytest.fixture
async def organizations(database: str) -> AsyncGenerator[PostgresOrganizations]:
    """Yield the organisations of a database in which one has all kinds of facts, recorded with the service's login."""
    pool = Pool(service_dsn(database), size=2, name="test")
    async with open_log(database) as log:
        opened = PostgresOrganizations(log, pool, pool)
        await opened.append(ACME, 0, FACTS, Envelope(organization_id=ACME, actor="cli"))
        yield opened
    await pool.close()


def rows(database: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(database) as owner:
        return {table: owner.execute(f"SELECT * FROM perezvon_1.{table}".encode()).fetchall() for table in TABLES}


def change(database: str, statement: str) -> None:
    with psycopg.connect(database) as owner:
        owner.execute(statement.encode())


def differences(database: str) -> dict[str, int]:
    with psycopg.connect(service_dsn(database)) as service:
        return differing_rows(service)


async def again(database: str, *, accept: bool = False) -> RebuildReport:
    return await rebuild(database, "access_directory", accept=accept, progress=ignore)


async def test_the_rows_say_what_the_facts_say(organizations: PostgresOrganizations, database: str) -> None:
    found = rows(database)
    assert found["members"] == [("m1", ACME, "Анна", "supervisor")]
    assert found["operators"] == [(ACME, 1, digest_of("m"), "Line", "1001", "m1")]
    ((_, name, settings, _),) = found["organizations"]
    assert (name, settings["region"]) == ("Acme", "RU")
    assert [row[:6] for row in sorted(found["tokens"])] == [
        ("t1", ACME, "desk", "agent", "h1", "m1"),
        ("t2", ACME, None, "agent", "h2", None),
    ]
    assert differences(database) == {}


async def test_a_conflict_records_no_row(organizations: PostgresOrganizations, database: str) -> None:
    before = rows(database)
    with pytest.raises(ConcurrentUpdate):
        await organizations.append(ACME, 3, [TokenRevoked(token_id="t1")], Envelope(organization_id=ACME, actor="cli"))
    assert rows(database) == before


async def test_a_rebuild_folds_the_same_rows(organizations: PostgresOrganizations, database: str) -> None:
    before = rows(database)
    async with open_log(database) as log:
        await log.append("task/a", 0, [filed()], ENVELOPE)
    report = await again(database)
    assert (report.swapped, report.differs, report.position, report.parked) == (True, False, len(FACTS) + 1, 0)
    assert rows(database) == before
    added = MemberAdded(member_id="m3", role=Role.AGENT, personal=PersonName(subject="m3", name="Юн"))
    await organizations.append(ACME, len(FACTS), [added], Envelope(organization_id=ACME, actor="cli"))
    assert ("m3", ACME, "Юн", "agent") in rows(database)["members"]
    assert not (await again(database)).differs


TAMPERED = {
    "organizations": "UPDATE perezvon_1.organizations SET settings = settings || '{\"open_intake\": false}'",
    "members": "UPDATE perezvon_1.members SET role = 'admin'",
    "operators": "UPDATE perezvon_1.operators SET key_hash = 'forged'",
    "tokens": (
        "INSERT INTO perezvon_1.tokens (id, organization_id, role, secret_hash, issued_at)"
        " VALUES ('forged', 65, 'admin', 'h', now())"
    ),
}


@pytest.mark.parametrize("table", TAMPERED)
async def test_a_row_that_the_log_does_not_know_is_found_and_replaced_only_on_request(
    organizations: PostgresOrganizations, database: str, table: str
) -> None:
    good = rows(database)
    change(database, TAMPERED[table])
    assert differences(database) == {table: 1}
    report = await again(database)
    assert not report.swapped
    assert [
        found.table
        for found in report.differences
        if found != Difference(table=found.table, differing=0, missing=0, extra=0)
    ] == [table]
    assert (await again(database, accept=True)).swapped
    assert rows(database) == good
    assert differences(database) == {}


async def test_a_rebuild_holds_changes_of_access_alone(organizations: PostgresOrganizations, database: str) -> None:
    envelope = Envelope(organization_id=ACME, actor="cli")
    with psycopg.connect(database) as owner:
        owner.execute("LOCK TABLE perezvon_1.organizations IN SHARE ROW EXCLUSIVE MODE")
        revoking = asyncio.create_task(organizations.append(ACME, len(FACTS), [TokenRevoked(token_id="t1")], envelope))
        with psycopg.connect(database, autocommit=True) as onlooker:

            async def is_waiting() -> bool:
                query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'"
                return onlooker.execute(query).fetchone() is not None

            await eventually_async(is_waiting)
        async with open_log(database) as log:
            await log.append("task/b", 0, [filed()], ENVELOPE)  # the log is not locked by the command that waits
        assert not revoking.done()
    assert (await revoking).events[0].fact == TokenRevoked(token_id="t1")


async def test_the_last_use_of_a_token_survives_a_rebuild(organizations: PostgresOrganizations, database: str) -> None:
    async with services(service_dsn(database)) as opened:
        directory = opened.directory
        await directory.note_use(["t1", "t1", "no such token"])
        before = await directory.tokens(ACME)
        assert [token.last_used_at is not None for token in before] == [True, False]
        assert (await again(database)).swapped
        assert await directory.tokens(ACME) == before
        holder = await directory.token("t1")
    assert holder is not None
    assert (holder.role, holder.member_role) == (Role.AGENT, Role.SUPERVISOR)


async def test_a_stream_is_continued_by_its_own_organisation_alone(database: str) -> None:
    async with open_log(database) as log:
        await log.append("task/a", 0, [filed()], ENVELOPE)
        foreign = Envelope(organization_id=ENVELOPE.organization_id + 1, actor="cli")
        with capture_logs() as logs:
            refused, appended, fresh = await asyncio.gather(
                log.append("task/a", 1, [filed()], foreign),
                log.append("task/b", 0, [filed()], foreign),
                log.append("task/c", 0, [filed()], ENVELOPE),
                return_exceptions=True,
            )
        assert [(line["event"], line["stream"], line["organization"], line["actor"]) for line in logs] == [
            ("foreign stream refused", "task/a", foreign.organization_id, "cli")
        ]
        assert isinstance(refused, ForeignStream)
        assert not isinstance(appended, BaseException)
        assert not isinstance(fresh, BaseException)
        assert (await log.append("task/a", 1, [filed()], ENVELOPE)).position == 4


def test_the_stream_of_the_facts_is_named_by_the_function() -> None:
    assert organization_stream(ACME) == f"organization/{ACME}"


def test_a_swap_locks_the_tables_in_the_order_of_every_look_up() -> None:
    """Check that a look-up that waits for a table holds none that the swap has yet to lock."""
    joins = 0
    for text in vars(query).values():
        if isinstance(text, bytes):
            named = [name.decode() for name in re.findall(rb"(?:FROM|JOIN) \S+[.]\W?(\w+)", text)]
            order = [TABLES.index(name) for name in named if name in TABLES]
            assert order == sorted(order), text
            joins += len(order) > 1
    assert joins == 2
