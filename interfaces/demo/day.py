"""A sample day of a call centre, filed and processed over the HTTP API (calls.jsonl, one call per line).

The telephone numbers of the day are in unassigned ranges.
"""

import sys
from datetime import datetime, time, timedelta
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from interfaces.demo.caller import Caller
from interfaces.demo.staff import TIMEZONE, Staff


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call of the day: time, line (from 1), the task to file, and the steps that follow."""

    at: str
    operator: int
    task: dict[str, Any]
    then: list[dict[str, Any]]
    due_in_hours: int | None = None


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks of the day to show, and the log position at which the day ended.

    ``lively`` failed and was reprocessed; at the time ``was`` it had failed. ``untouched`` has not changed since it was filed.
    """

    lively: str
    was: str
    untouched: str
    position: int


def sample_day() -> list[Call]:
    """Return the calls in the order of the day."""
    text = files("interfaces.demo").joinpath("calls.jsonl").read_bytes()
    return msgspec.json.Decoder(Call).decode_lines(text)


async def file_day(client: httpx.AsyncClient, staff: Staff) -> Day:
    """File the tasks of the day and process some of them. Raises DemoFailed, httpx.HTTPError."""
    calls = sample_day()
    public, workers = Caller(client), [Caller(client, token) for token in staff.tokens]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        steps = progress.add_task("A day of calls", total=sum(1 + len(call.then) for call in calls))
        ids: list[str] = []
        for call in calls:
            ids.append(await _file(public, call, staff))
            progress.advance(steps)
        position = 0
        for call, task_id in zip(calls, ids, strict=True):
            for step in call.then:
                position = await _process(workers[call.operator - 1], step, f"/api/tasks/{task_id}")
                progress.advance(steps)
    called = [(i, call) for i, call in zip(ids, calls, strict=True) if call.task["task_type"] == "callback"]
    lively = next(i for i, call in called if {"reprocess": True} in call.then)
    history = (await Caller(client, staff.admin).ask("GET", f"/api/tasks/{lively}/history")).json()["items"]
    untouched = next(i for i, call in called if not call.then)
    return Day(lively=lively, was=history[-2]["recorded_at"], untouched=untouched, position=position)


async def _file(public: Caller, call: Call, staff: Staff) -> str:
    called = _yesterday_at(call.at)
    task = {**call.task, "operator_id": staff.operators[call.operator - 1], "call_datetime": called.isoformat()}
    if call.due_in_hours:
        task["due_date"] = (called + timedelta(hours=call.due_in_hours)).isoformat()
    return (await public.ask("POST", "/api/tasks", task)).json()["id"]


async def _process(worker: Caller, step: dict[str, Any], task: str) -> int:
    match step:
        case {"appeal": appeal}:
            done = await worker.ask("PUT", f"{task}/appeal", {"appeal_id": appeal})
        case {"reprocess": True}:
            done = await worker.ask("POST", f"{task}/reprocess")
        case _:
            done = await worker.ask("PUT", f"{task}/status", step)
    return int(done.headers["Perezvon-Position"])


def _yesterday_at(clock: str) -> datetime:
    yesterday = datetime.now(ZoneInfo(TIMEZONE)).date() - timedelta(days=1)
    return datetime.combine(yesterday, time.fromisoformat(clock), ZoneInfo(TIMEZONE))
