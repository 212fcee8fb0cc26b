"""A tenant in a database, and the API process that serves it."""

import asyncio
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from application.callers import Request
from domain.permissions import Role
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import services
from tests.chaos.processes import Process, answers, free_port
from tests.support.waiting import eventually


class Tenant(msgspec.Struct):
    """An organisation, an operator and a token in a database; ``port`` is where its API listens."""

    dsn: str
    organization: int
    member: str
    operator: str
    bearer: str
    port: int = 0


def make_tenant(dsn: str) -> Tenant:
    """Create an organisation with a member, an operator and an admin token."""
    return asyncio.run(_make_tenant(dsn))


async def _make_tenant(dsn: str) -> Tenant:
    async with services(service_dsn(dsn)) as ours:
        admin = Request(request_id="bench")
        organization = await ours.organizations.create("Bench", admin)
        member = await ours.organizations.add_member(organization.id, "Айгуль", Role.AGENT, admin)
        operator = await ours.organizations.add_operator(organization.id, "Line", admin, number=None, member_id=member)
    return Tenant(dsn, organization.id, member, operator.id, f"Bearer {organization.token}")


@contextmanager
def serving(tenant: Tenant, *program: str) -> Generator[Process]:
    """Serve the tenant's database with `perezvon serve`, or with another program that accepts the same arguments."""
    tenant.port = free_port()
    environment = {
        "PEREZVON_DATABASE_URL": service_dsn(tenant.dsn),
        "PEREZVON_RATE_LIMITS": "false",
        "PEREZVON_LOG_LEVEL": "warning",
    }
    program = program or ("-c", "from interfaces.cli import main; main()")
    log = Path(tempfile.mkdtemp(prefix="perezvon-bench-log-")) / "api.log"
    process = Process(*program, "serve", "--port", str(tenant.port), environment=environment, log=log)
    process.start()
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{tenant.port}/health/live"), timeout=60)
        yield process
    finally:
        process.end()
