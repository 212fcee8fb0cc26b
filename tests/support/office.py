"""A call centre to talk to: an organisation of its own on a served API, with an operator, members and tokens."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from litestar import Litestar
from msgspec.structs import asdict

from application.callers import Request
from application.organizations import SettingsPatch
from domain.callback.events import CallbackFact
from domain.model import Envelope
from domain.streams import callback_stream
from domain.values import Role
from infrastructure.operations.projection_worker import run_projections
from infrastructure.postgres.connections import service_dsn
from interfaces.api.app import create_app
from interfaces.bootstrap.services import Services, services
from interfaces.config.settings import Settings

_SETUP = Request(request_id="setup")
QUEUES = "/api/ver1.0/client/@me/task_scheduler/"
NUMBERS = {"a_number": "1001", "b_number": "+77010001001"}
UNLIMITED = Settings(rate_limits=False)

Headers = Mapping[str, Any]  # text, or bytes where a test sends what no client would


class Office:
    """An organisation and those who may ask for it."""

    def __init__(self, client: httpx.AsyncClient, opened: Services, organization_id: int) -> None:
        """Talk through ``client``; ``hire`` fills it."""
        self.client = client
        self.services = opened
        self.organization_id = organization_id
        self.operator_id = ""
        self.operator_number = 0
        self.member_id = ""
        self.bearers: dict[Role, Headers] = {}

    async def hire(self) -> None:
        """Add an operator of a member's, and a token of each role; the agent's is the member's."""
        admin, own = self.services.organizations, self.organization_id
        self.member_id = await admin.add_member(own, "Айгуль Сатпаева", Role.SUPERVISOR, _SETUP)
        operator = await admin.add_operator(own, "Line 1", _SETUP, number=None, member_id=self.member_id)
        self.operator_id, self.operator_number = operator.id, operator.number
        for role in Role:
            member_id = self.member_id if role is Role.AGENT else None
            token = await admin.issue_token(own, role, _SETUP, member_id=member_id)
            self.bearers[role] = {"Authorization": f"Bearer {token.token}"}

    @property
    def agent(self) -> Headers:
        """The headers of an agent's request."""
        return self.bearers[Role.AGENT]

    @property
    def admin(self) -> Headers:
        """The headers of an admin's request."""
        return self.bearers[Role.ADMIN]

    async def set(self, **settings: Any) -> None:
        """Change settings of the organisation."""
        await self.services.organizations.change_settings(self.organization_id, SettingsPatch(**settings), _SETUP)

    async def post_task(self, headers: Headers | None = None, **fields: Any) -> httpx.Response:
        """File a task, at the open intake unless headers say otherwise."""
        body = {"operator_id": self.operator_id, "title": "Call back", **fields}
        return await self.client.post("/api/tasks", json=body, headers=headers)

    async def filed(self, **fields: Any) -> dict[str, Any]:
        """File a task that is taken, and answer it."""
        answer = await self.post_task(**fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def set_status(
        self, task_id: str, status: str, headers: Headers | None = None, **more: Any
    ) -> httpx.Response:
        """Change a task's status as the agent."""
        given = {**self.agent, **(headers or {})}
        return await self.client.put(f"/api/tasks/{task_id}/status", json={"status": status, **more}, headers=given)

    async def in_status(self, *path: str) -> dict[str, Any]:
        """File a task and lead it through the statuses."""
        task = await self.filed()
        for status in path:
            answer = await self.set_status(task["id"], status)
            assert answer.status_code == 200, answer.text
            task = answer.json()
        return task

    async def post_queue(self, headers: Headers | None = None, **fields: Any) -> httpx.Response:
        """Create a queue as the admin, unless headers say otherwise."""
        return await self.client.post(QUEUES, json={"name": "Поздравления", **fields}, headers=headers or self.admin)

    async def queue(self, **fields: Any) -> str:
        """Create a queue, and answer its path."""
        answer = await self.post_queue(**fields)
        assert answer.status_code == 201, answer.text
        return f"{QUEUES}{answer.json()['id']}"

    async def post_callbacks(self, queue: str, *tasks: Any, headers: Headers | None = None) -> httpx.Response:
        """Schedule callbacks in the queue of that path as the admin; what a task leaves out of the numbers is filled in."""
        filled = [{**NUMBERS, **task} if isinstance(task, dict) else task for task in tasks]
        return await self.client.post(f"{queue}/task/", json={"tasks": filled}, headers=headers or self.admin)

    async def scheduled(self, queue: str, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
        """Schedule callbacks that are taken, one with nothing but numbers unless told otherwise, and answer them."""
        answer = await self.post_callbacks(queue, *(tasks or ({},)))
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def happens(self, callback: dict[str, Any], *facts: CallbackFact) -> int:
        """Record what a dispatcher would; answer the log position of it."""
        stream = callback_stream(callback["id"])
        version = (await self.services.log.read(stream))[-1].version
        envelope = Envelope(organization_id=self.organization_id, actor="dispatcher")
        return (await self.services.log.append(stream, version, facts, envelope)).position

    async def get(self, path: str, headers: Headers | None = None, **params: Any) -> httpx.Response:
        """Ask as the agent, unless headers say otherwise."""
        return await self.client.get(path, params=params or None, headers=self.agent if headers is None else headers)

    async def listed(self, **params: Any) -> list[str]:
        """Answer the ids of the first page of the list."""
        answer = await self.get("/api/tasks", **params)
        assert answer.status_code == 200, answer.text
        return [task["id"] for task in answer.json()["items"]]


class Service:
    """The API over a database, in this process."""

    def __init__(self, dsn: str, opened: Services, app: Litestar, client: httpx.AsyncClient) -> None:
        """Talk to ``app`` through ``client``."""
        self.dsn = dsn
        self.services = opened
        self.app = app
        self.client = client

    async def office(self) -> Office:
        """Answer a new organisation with its people."""
        created = await self.services.organizations.create("Городская справка", _SETUP)
        office = Office(self.client, self.services, created.id)
        await office.hire()
        return office


@asynccontextmanager
async def served(opened: Services, dsn: str, settings: Settings = UNLIMITED) -> AsyncGenerator[Service]:
    """Serve the use cases in this process."""
    app = create_app(settings, opened)
    transport = httpx.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Service(dsn, opened, app, client)


@asynccontextmanager
async def service_with_worker(dsn: str, settings: Settings = UNLIMITED) -> AsyncGenerator[Service]:
    """Serve a database in this process, with a worker beside that keeps the views up."""
    running, stop = service_dsn(dsn), asyncio.Event()
    worker = asyncio.create_task(run_projections(running, stop))
    try:
        async with services(running) as opened, served(opened, dsn, settings) as service:
            yield service
    finally:
        stop.set()
        await worker


def changed(settings: Settings, **changes: Any) -> Settings:
    """Answer the settings with changes."""
    return Settings(**{**asdict(settings), **changes})
