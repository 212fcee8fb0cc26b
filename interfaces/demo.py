"""A sample day of a call centre, filed through the HTTP API and worked on (demo_calls.jsonl, a call a line).

The telephone numbers of the day are of ranges that nobody has.
"""

import sys
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from application.callers import Request
from application.ids import uuid7
from application.organizations import OrganizationsAdmin, SettingsPatch
from domain.values import Role
from interfaces.bootstrap import service_dsn, services
from interfaces.demo_guide import Sight, guide

_NAME = "Алатау Техно (demo)"
_TIMEZONE = "Asia/Almaty"
_MEMBERS = (
    ("Гульнара Ахметова", Role.SUPERVISOR),
    ("Айгерим Садыкова", Role.AGENT),
    ("Сергей Волошин", Role.AGENT),
    ("Нурсултан Абенов", Role.AGENT),
    ("Megan Clarke", Role.AGENT),
)
_LINES = (
    ("Доставка", "101", 1),
    ("Сервис", "102", 2),
    ("Магазин", "103", 3),
    ("English line", "104", 4),
    ("Голосовой робот", None, None),
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call of the day: when, on which line (from 1), the task to file, and what becomes of it step by step."""

    at: str
    operator: int
    task: dict[str, Any]
    then: list[dict[str, Any]]
    due_in_hours: int | None = None


class Staff(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes part: the organisation, its admin's token, and for each line its operator id and who works for it."""

    organization_id: int
    admin: str
    operators: Sequence[str]
    tokens: Sequence[str]


class DemoFailed(Exception):
    """The API refused a part of the sample day."""

    code = "demo_failed"


def sample_day() -> list[Call]:
    """Answer the calls, in the order of the day."""
    text = files("interfaces").joinpath("demo_calls.jsonl").read_bytes()
    return msgspec.json.Decoder(Call).decode_lines(text)


async def run(url: str, dsn: str) -> str:
    """File the sample day at the API of ``url``, work on some of it, and answer what to try next.

    ``dsn`` is the same database's, for its owner. Raises DemoFailed, StorageAway, SchemaTooOld, httpx.HTTPError.
    """
    async with services(service_dsn(dsn)) as found:
        staff = await _staff(found.organizations)
    calls = sample_day()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        with Progress(*columns, console=Console(file=sys.stderr)) as progress:
            steps = progress.add_task("A day of calls", total=sum(1 + len(call.then) for call in calls))
            ids: list[str] = []
            for call in calls:
                ids.append(await _filed(client, call, staff))
                progress.advance(steps)
            for call, task_id in zip(calls, ids, strict=True):
                for step in call.then:
                    await _worked(client, step, f"/api/tasks/{task_id}", staff.tokens[call.operator - 1])
                    progress.advance(steps)
        called = [(i, call) for i, call in zip(ids, calls, strict=True) if call.task["task_type"] == "callback"]
        failed = next(i for i, call in called if {"reprocess": True} in call.then)
        history = await client.get(f"/api/tasks/{failed}/history", headers=_bearer(staff.admin))
    times = [entry["recorded_at"] for entry in _answer(history)["items"]]
    untouched = next(i for i, call in called if not call.then)
    sight = Sight(
        url=url, token=staff.admin, operator=staff.operators[0], lively=failed, untouched=untouched, was=times[-2]
    )
    return guide(_NAME, staff.organization_id, sight)


async def _staff(organizations: OrganizationsAdmin) -> Staff:
    request = Request(request_id=uuid7())
    created = await organizations.create(_NAME, request)
    patch = SettingsPatch(timezone=_TIMEZONE)
    await organizations.change_settings(created.id, patch, request)
    members = [await organizations.add_member(created.id, name, role, request) for name, role in _MEMBERS]
    operators: list[str] = []
    tokens: list[str] = []
    for name, number, place in _LINES:
        member = None if place is None else members[place]
        operators.append(
            (await organizations.add_operator(created.id, name, request, number=number, member_id=member)).id
        )
        worker = place or 0  # what the robot files, the supervisor works on
        role = _MEMBERS[worker][1]
        tokens.append((await organizations.issue_token(created.id, role, request, member_id=members[worker])).token)
    return Staff(organization_id=created.id, admin=created.token, operators=operators, tokens=tokens)


async def _filed(client: httpx.AsyncClient, call: Call, staff: Staff) -> str:
    called = _yesterday_at(call.at)
    task = {**call.task, "operator_id": staff.operators[call.operator - 1], "call_datetime": called.isoformat()}
    if call.due_in_hours:
        task["due_date"] = (called + timedelta(hours=call.due_in_hours)).isoformat()
    return _answer(await client.post("/api/tasks", json=task))["id"]


async def _worked(client: httpx.AsyncClient, step: dict[str, Any], task: str, token: str) -> None:
    headers = _bearer(token)
    match step:
        case {"appeal": appeal}:
            _answer(await client.put(f"{task}/appeal", json={"appeal_id": appeal}, headers=headers))
        case {"reprocess": True}:
            _answer(await client.post(f"{task}/reprocess", headers=headers))
        case _:
            _answer(await client.put(f"{task}/status", json=step, headers=headers))


def _yesterday_at(clock: str) -> datetime:
    yesterday = datetime.now(ZoneInfo(_TIMEZONE)).date() - timedelta(days=1)
    return datetime.combine(yesterday, time.fromisoformat(clock), ZoneInfo(_TIMEZONE))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise DemoFailed(
            f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text}"
        )
    return response.json()
