"""Commands to try on the demo, which work as printed."""

import shlex

import msgspec

from interfaces.demo.day import Day
from interfaces.demo.exchange import QUEUES
from interfaces.demo.staff import NAME, Staff


class GuideValues(msgspec.Struct, frozen=True, kw_only=True):
    """The values in the commands: the API, the staff, the day, a callback, and the receiver of webhooks.

    ``example`` are the numbers of a call: A, then B.
    """

    url: str
    staff: Staff
    day: Day
    queue_id: int
    callback_id: int
    receiver: str
    example: tuple[str, str]


def guide(values: GuideValues) -> str:
    """Return the text."""
    lines = [
        f"A day of calls is filed for organisation {values.staff.organization_id}, {NAME}. Try, in another terminal:",
        *_on_tasks(values),
        *_on_callbacks(values),
        "",
        f"All operations of the API, with examples: {values.url}/docs",
        "Press Ctrl-C to stop.",
    ]
    return "\n".join(lines)


def _on_tasks(values: GuideValues) -> list[str]:
    tasks, token = f"{values.url}/api/tasks", values.staff.admin
    lively, untouched = f"{tasks}/{values.day.lively}", f"{tasks}/{values.day.untouched}"
    new = {
        "operator_id": values.staff.operators[0],
        "title": "Перезвонить: хочет вернуть чайник",
        "caller_phone": "8 701 000 11 22",
    }
    begin = {"status": "in_progress", "reason": "Calling back"}
    return [
        *_entry("The newest pending tasks", token, f"{tasks}?status=pending&per_page=3"),
        *_entry("Search in the titles, case-insensitive", token, "-G", tasks, "--data-urlencode", "search=ДОСТАВК"),
        *_entry("A task that failed and was reprocessed", token, lively),
        *_entry("Its history: who, when and why", token, f"{lively}/history"),
        *_entry("The same task at an earlier time", token, f"{lively}?as_of={values.day.was}"),
        *_entry(
            "Start a task if it is unchanged since it was filed (a second run returns 412)",
            token, "-X", "PUT", f"{untouched}/status", "-H", 'If-Match: "1"', *_json(begin),
        ),
        *_entry("File a task, as a line or a voice bot does: without a token, its operator id is the key", None, tasks, *_json(new)),
    ]  # fmt: skip


def _on_callbacks(values: GuideValues) -> list[str]:
    queues, token = f"{values.url}{QUEUES}", values.staff.admin
    tasks, deliveries = f"{queues}{values.queue_id}/task/", f"{values.url}/v1/webhook-deliveries"
    a_number, b_number = values.example
    new = {
        "name": "Вернуть чайник",
        "a_number": a_number,
        "b_number": b_number,
        "url_after": f"{values.receiver}/after",
    }
    return [
        *_entry("The callback queues", token, queues),
        *_entry("Their live state, and why no call starts", token, f"{values.url}/v1/queue-board"),
        *_entry("A callback with several attempts", token, f"{tasks}{values.callback_id}"),
        *_entry("Its history, attempt by attempt", token, f"{tasks}{values.callback_id}/history"),
        *_entry("Its signed webhooks, and the responses of the receiver", token, f"{deliveries}?callback={values.callback_id}"),
        *_entry("Call a person back: first A rings, then B", token, tasks, *_json({"tasks": [new]})),
    ]  # fmt: skip


def _entry(title: str, token: str | None, *words: str) -> list[str]:
    bearer = ("-H", f"Authorization: Bearer {token}") if token else ()
    return ["", title, f"  {shlex.join(('curl', '-s', *bearer, *words))}"]


def _json(body: object) -> tuple[str, ...]:
    return ("-H", "Content-Type: application/json", "-d", msgspec.json.encode(body).decode())
