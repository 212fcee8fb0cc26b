"""Results of the callbacks, read over the API: outcomes, attempts, webhooks."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from interfaces.demo.caller import Caller
from interfaces.demo.exchange import QUEUES, Exchange

_STARTED, _ENDED = "callback.attempt_started.v1", ("callback.attempt_failed.v1", "callback.call_ended.v1")


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded attempts: their count, the most calls at the same time, and how the calls ended."""

    count: int
    most: int
    ends: Counter[str]


class NetworkCalls(msgspec.Struct, frozen=True, kw_only=True):
    """Calls as the simulated network counted them: placed, dialled more than once, and the most at the same time."""

    count: int
    repeated: int
    most: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the demo: callbacks by outcome, tasks by status, webhook deliveries by state.

    ``calls`` are the recorded attempts, or the calls that the simulated network counted. ``seconds`` is the duration.
    """

    outcomes: Counter[str]
    calls: Attempts | NetworkCalls
    tasks: Counter[str]
    deliveries: Counter[str]
    seconds: float


async def outcomes(exchange: Exchange) -> Counter[str]:
    """Count the callbacks by outcome. Raises DemoFailed, httpx.HTTPError."""
    return Counter(_outcome(row) for rows in await exchange.callbacks() for row in rows)


async def attempts(admin: Caller, exchange: Exchange) -> Attempts:
    """Read the recorded attempts of all callbacks. Raises DemoFailed, httpx.HTTPError."""
    events: list[dict[str, Any]] = []
    for queue_id, rows in zip(exchange.queue_ids, await exchange.callbacks(), strict=True):
        for row in rows:
            events += (await admin.ask("GET", f"{QUEUES}{queue_id}/task/{row['id']}/history")).json()["items"]
    return attempts_of(events)


def attempts_of(events: Iterable[dict[str, Any]]) -> Attempts:
    """Summarise the attempts in the histories of callbacks."""
    running = most = count = 0
    ends: Counter[str] = Counter()
    for event in sorted(events, key=lambda event: event["position"]):
        if event["type"] == _STARTED:
            count, running = count + 1, running + 1
            most = max(most, running)
        elif event["type"] in _ENDED:
            running -= 1
            ends[_end(event["data"]["end"])] += 1
    return Attempts(count=count, most=most, ends=ends)


async def deliveries(admin: Caller) -> Counter[str]:
    """Count the webhook deliveries by state. Raises DemoFailed, httpx.HTTPError."""
    counted: Counter[str] = Counter()
    after: int | None = 0
    while after is not None:
        page = (await admin.ask("GET", "/v1/webhook-deliveries", after=after, limit=1_000)).json()
        counted.update(delivery["state"] for delivery in page["items"])
        after = page["next"]
    return counted


def _outcome(row: dict[str, Any]) -> str:
    why = str(row["finish_comment"]).partition(" (")[0]  # the text of the switch follows in brackets
    return f"{row['finish_result']}: {why}"


def _end(end: dict[str, Any]) -> str:
    """Return how a call ended: the leg that caused the end, the outcome, and the SIP answer of that leg."""
    if end["outcome"] == "success":
        return "joined"
    words = (f"{end['leg']}:" if end.get("leg") else "", end["outcome"], f"({end['sip']})" if end.get("sip") else "")
    return " ".join(filter(None, words))
