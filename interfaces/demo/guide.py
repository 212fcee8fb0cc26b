"""What to try on the demo: lines that work as they are printed."""

import shlex

import msgspec

from interfaces.demo.day import Day
from interfaces.demo.exchange import QUEUES
from interfaces.demo.staff import NAME, Staff


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines are about: where the API is, who asks, what is worth a look, and where webhooks are received.

    ``example`` is whom to call: A, then B.
    """

    url: str
    staff: Staff
    day: Day
    queue_id: int
    callback_id: int
    receiver: str
    example: tuple[str, str]


def guide(sight: Sight) -> str:
    """Answer the text."""
    lines = [
        f"A day of calls is filed for organisation {sight.staff.organization_id}, {NAME}. Try, in another terminal:",
        *_on_tasks(sight),
        *_on_callbacks(sight),
        "",
        f"All calls, explained and ready to try: {sight.url}/docs",
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def _on_tasks(sight: Sight) -> list[str]:
    tasks, token = f"{sight.url}/api/tasks", sight.staff.admin
    lively, untouched = f"{tasks}/{sight.day.lively}", f"{tasks}/{sight.day.untouched}"
    new = {
        "operator_id": sight.staff.operators[0],
        "title": "Перезвонить: хочет вернуть чайник",
        "caller_phone": "8 701 000 11 22",
    }
    begin = {"status": "in_progress", "reason": "Calling back"}
    return [
        *_entry("The newest tasks that wait", token, f"{tasks}?status=pending&per_page=3"),
        *_entry("Search in the titles, in either case", token, "-G", tasks, "--data-urlencode", "search=ДОСТАВК"),
        *_entry("One task: it failed, and was put back to be tried again", token, lively),
        *_entry("All that happened to it: who, when and why", token, f"{lively}/history"),
        *_entry("The same task as it was a moment ago", token, f"{lively}?as_of={sight.day.was}"),
        *_entry(
            "Take up a task, if it is still as it was filed (the second time this is a 412)",
            token, "-X", "PUT", f"{untouched}/status", "-H", 'If-Match: "1"', *_json(begin),
        ),
        *_entry("File a task, as a line or a voice bot does: no token, its operator id is the key", None, tasks, *_json(new)),
    ]  # fmt: skip


def _on_callbacks(sight: Sight) -> list[str]:
    queues, token = f"{sight.url}{QUEUES}", sight.staff.admin
    tasks, deliveries = f"{queues}{sight.queue_id}/task/", f"{sight.url}/v1/webhook-deliveries"
    a_number, b_number = sight.example
    new = {
        "name": "Вернуть чайник",
        "a_number": a_number,
        "b_number": b_number,
        "url_after": f"{sight.receiver}/after",
    }
    return [
        *_entry("The callback queues", token, queues),
        *_entry("How they stand, and why nothing starts in them", token, f"{sight.url}/v1/queue-board"),
        *_entry("A callback that was tried more than once", token, f"{tasks}{sight.callback_id}"),
        *_entry("All that happened to it, attempt by attempt", token, f"{tasks}{sight.callback_id}/history"),
        *_entry("What was told about it, signed, and what the receiver answered", token, f"{deliveries}?callback={sight.callback_id}"),
        *_entry("Call somebody back: first A rings, then B", token, tasks, *_json({"tasks": [new]})),
    ]  # fmt: skip


def _entry(title: str, token: str | None, *words: str) -> list[str]:
    bearer = ("-H", f"Authorization: Bearer {token}") if token else ()
    return ["", title, f"  {shlex.join(('curl', '-s', *bearer, *words))}"]


def _json(body: object) -> tuple[str, ...]:
    return ("-H", "Content-Type: application/json", "-d", msgspec.json.encode(body).decode())
