"""What to try on the sample day: lines that work as they are printed."""

import shlex

import msgspec

from interfaces.output import json_text


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines are about: where the API is, who asks, and the tasks that are worth a look.

    ``lively`` has failed and was reprocessed, at ``was`` it had failed; to ``untouched`` nothing has happened yet.
    """

    url: str
    token: str
    operator: str
    lively: str
    untouched: str
    was: str


def guide(name: str, organization_id: int, sight: Sight) -> str:
    """Answer the text."""
    tasks = f"{sight.url}/api/tasks"
    lively, untouched = f"{tasks}/{sight.lively}", f"{tasks}/{sight.untouched}"
    new = {
        "operator_id": sight.operator,
        "title": "Перезвонить: хочет вернуть чайник",
        "caller_phone": "8 701 000 11 22",
    }
    begin = {"status": "in_progress", "reason": "Calling back"}
    lines = [
        f"A day of calls is filed for organisation {organization_id}, {name}. Try, in another terminal:",
        *_entry("The newest tasks that wait", sight, f"{tasks}?status=pending&per_page=3"),
        *_entry("Search in the titles, in either case", sight, "-G", tasks, "--data-urlencode", "search=ДОСТАВК"),
        *_entry("One task: it failed, and was put back to be tried again", sight, lively),
        *_entry("All that happened to it: who, when and why", sight, f"{lively}/history"),
        *_entry("The same task as it was a moment ago", sight, f"{lively}?as_of={sight.was}"),
        *_entry(
            "Take up a task, if it is still as it was filed (the second time this is a 412)",
            sight, "-X", "PUT", f"{untouched}/status", "-H", 'If-Match: "1"', *_json(begin),
        ),
        *_entry("File a task, as a line or a voice bot does: no token, its operator id is the key", None, tasks, *_json(new)),
        "",
        f"All calls, explained and ready to try: {sight.url}/docs",
        "Ctrl-C ends it.",
    ]  # fmt: skip
    return "\n".join(lines)


def _entry(title: str, sight: Sight | None, *words: str) -> list[str]:
    token = ("-H", f"Authorization: Bearer {sight.token}") if sight else ()
    return ["", title, f"  {shlex.join(('curl', '-s', *token, *words))}"]


def _json(body: dict[str, str]) -> tuple[str, ...]:
    return ("-H", "Content-Type: application/json", "-d", json_text(body))
