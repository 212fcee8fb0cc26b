"""A call centre for tests: an organisation on a served API, with an operator, members and tokens."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from litestar import Litestar
from msgspec.structs import asdict

from application.callers import Request
from application.organizations import SettingsPatch
from application.webhook_options import WebhookOptions
from domain.callback.events import CallbackFact
from domain.model import Envelope
from domain.permissions import Role
from domain.streams import callback_stream
from infrastructure.postgres.connections import service_dsn
from interfaces.api.app import create_app
from interfaces.bootstrap.services import Services, services
from interfaces.config.settings import Settings
from tests.support.secrets_key import SECRETS_KEY
from tests.support.worker_parts import project

_SETUP = Request(request_id="setup")
QUEUES = "/api/ver1.0/client/@me/task_scheduler/"
NUMBERS = {"a_number": "1001", "b_number": "+77010001001"}
UNLIMITED = Settings(rate_limits=False)

Headers = Mapping[str, Any]  # text, or bytes where a test sends invalid headers

FULL_TASK = {
    "task_type": "consultation",
    "priority": "urgent",
    "title": "Уточнить тариф",
    "description": "Долго ждал",
    "caller_phone": "8 701 123 45 67",
    "caller_name": "Данияр",
    "call_id": "A-1",
    "recording_url": "https://calls.example/1.mp3",
    "call_datetime": "2026-11-22T14:30:00+05:00",
    "call_transcription": "Алло…",
    "call_summary": "О тарифе",
    "call_response_summary": "Обещали ответить",
    "due_date": "2026-12-01T09:00:00",
}
"""All fields of a task that a client may set."""


class Office:
    """An organisation with its tokens and an operator, and requests in their names."""

    def __init__(self, client: httpx.AsyncClient, opened: Services, organization_id: int) -> None:
        """Send requests through ``client``; ``add_people`` sets the other attributes."""
        self.client = client
        self.services = opened
        self.organization_id = organization_id
        self.operator_id = ""
        self.operator_number = 0
        self.member_id = ""
        self.bearers: dict[Role, Headers] = {}

    async def add_people(self) -> None:
        """Add a member, an operator of that member, and a token of each role; the agent's token belongs to the member."""
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
        """Headers with the agent's token."""
        return self.bearers[Role.AGENT]

    @property
    def admin(self) -> Headers:
        """Headers with the admin's token."""
        return self.bearers[Role.ADMIN]

    async def change_settings(self, **settings: Any) -> None:
        """Change settings of the organisation."""
        await self.services.organizations.change_settings(self.organization_id, SettingsPatch(**settings), _SETUP)

    async def post_task(self, headers: Headers | None = None, **fields: Any) -> httpx.Response:
        """File a task, without a token unless ``headers`` has one."""
        body = {"operator_id": self.operator_id, "title": "Call back", **fields}
        return await self.client.post("/api/tasks", json=body, headers=headers)

    async def file_task(self, **fields: Any) -> dict[str, Any]:
        """File a task successfully, and return it."""
        response = await self.post_task(**fields)
        assert response.status_code == 200, response.text
        return response.json()

    async def set_status(
        self, task_id: str, status: str, headers: Headers | None = None, **more: Any
    ) -> httpx.Response:
        """Change a task's status with the agent's token."""
        given = {**self.agent, **(headers or {})}
        return await self.client.put(f"/api/tasks/{task_id}/status", json={"status": status, **more}, headers=given)

    async def task_in_status(self, *path: str) -> dict[str, Any]:
        """File a task, change it through the statuses, and return it."""
        task = await self.file_task()
        for status in path:
            response = await self.set_status(task["id"], status)
            assert response.status_code == 200, response.text
            task = response.json()
        return task

    async def post_queue(self, headers: Headers | None = None, **fields: Any) -> httpx.Response:
        """Create a queue with the admin's token, unless ``headers`` has another."""
        return await self.client.post(QUEUES, json={"name": "Поздравления", **fields}, headers=headers or self.admin)

    async def create_queue(self, **fields: Any) -> str:
        """Create a queue, and return its path."""
        response = await self.post_queue(**fields)
        assert response.status_code == 201, response.text
        return f"{QUEUES}{response.json()['id']}"

    async def post_callbacks(self, queue: str, *tasks: Any, headers: Headers | None = None) -> httpx.Response:
        """Schedule callbacks in the queue of that path with the admin's token; absent numbers get defaults."""
        filled = [{**NUMBERS, **task} if isinstance(task, dict) else task for task in tasks]
        return await self.client.post(f"{queue}/task/", json={"tasks": filled}, headers=headers or self.admin)

    async def schedule_callbacks(self, queue: str, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
        """Schedule callbacks successfully, and return them; without ``tasks`` one callback with default numbers."""
        response = await self.post_callbacks(queue, *(tasks or ({},)))
        assert response.status_code == 201, response.text
        return response.json()

    async def record_facts(self, callback: dict[str, Any], *facts: CallbackFact) -> int:
        """Record facts as the dispatcher would, and return their log position."""
        stream = callback_stream(callback["id"])
        version = (await self.services.log.read(stream))[-1].version
        envelope = Envelope(organization_id=self.organization_id, actor="dispatcher")
        return (await self.services.log.append(stream, version, facts, envelope)).position

    async def get(self, path: str, headers: Headers | None = None, **params: Any) -> httpx.Response:
        """Send a GET request with the agent's token, unless ``headers`` is given."""
        return await self.client.get(path, params=params or None, headers=self.agent if headers is None else headers)

    async def list_task_ids(self, **params: Any) -> list[str]:
        """Return the ids on the first page of the list of tasks."""
        response = await self.get("/api/tasks", **params)
        assert response.status_code == 200, response.text
        return [task["id"] for task in response.json()["items"]]


class Service:
    """The API over a database, in this process."""

    def __init__(self, dsn: str, opened: Services, app: Litestar, client: httpx.AsyncClient) -> None:
        """Send requests to ``app`` through ``client``."""
        self.dsn = dsn
        self.services = opened
        self.app = app
        self.client = client

    async def office(self) -> Office:
        """Create an organisation with a member, an operator and tokens."""
        created = await self.services.organizations.create("Городская справка", _SETUP)
        office = Office(self.client, self.services, created.id)
        await office.add_people()
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
    """Serve a database in this process, with a worker that updates the views."""
    running, stop = service_dsn(dsn), asyncio.Event()
    worker = asyncio.create_task(project(running, stop))
    try:
        async with (
            services(running, WebhookOptions(secrets_key=SECRETS_KEY)) as opened,
            served(opened, dsn, settings) as service,
        ):
            yield service
    finally:
        stop.set()
        await worker


def changed(settings: Settings, **changes: Any) -> Settings:
    """Return the settings with changes."""
    return Settings(**{**asdict(settings), **changes})
