"""The callbacks of the demo: create queues, schedule callbacks, file callback tasks, and wait until all are finished."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from application.queries.queue_board import QueueBoardRow
from interfaces.demo.caller import Caller
from interfaces.demo.plan import Cast, callbacks
from interfaces.demo.receiver import Receiver
from interfaces.demo.staff import Staff

QUEUES = "/api/ver1.0/client/@me/task_scheduler/"
_POLL_S = 0.2
_FINAL = {"completed", "failed"}

Show = Callable[[Sequence[QueueBoardRow], int], None]


class _Board(msgspec.Struct, frozen=True):
    items: list[QueueBoardRow]


class Exchange:
    """The two queues of the demo, their callbacks, and the tasks that the second queue carries out."""

    def __init__(self, admin: Caller, receiver: Receiver, cast: Cast) -> None:
        """Send requests as the admin; the receiver gets the webhooks; the cast is called."""
        self._admin = admin
        self._cast = cast
        self._receiver = receiver
        self.queue_ids: list[int] = []
        self.task_ids: list[str] = []

    async def place(self) -> None:
        """Create the queues, switched off, and schedule all callbacks. Raises DemoFailed, httpx.HTTPError."""
        for plan, tasks in zip(self._cast.plans, callbacks(self._cast, self._receiver), strict=True):
            queue = {"name": plan.name, "concurrent_task_limit": plan.limit}
            self.queue_ids.append((await self._admin.ask("POST", QUEUES, queue)).json()["id"])
            await self._admin.ask("POST", f"{QUEUES}{self.queue_ids[-1]}/task/", {"tasks": tasks})

    async def file_tasks(self, public: Caller, staff: Staff, after: int) -> None:
        """File tasks of type callback, which the second queue carries out.

        Tasks that were filed up to the log position ``after`` are not called back. Raises DemoFailed, httpx.HTTPError.
        """
        await _until(lambda: self._has_passed(after))
        settings = {"callback_queue": self.queue_ids[-1], "callback_tries": 3, "callback_pause": 1}
        await self._admin.ask("PATCH", "/v1/organization/settings", settings)
        for i, phone in enumerate(self._cast.customers_of_tasks):
            operator_id = staff.operators[i % (len(staff.operators) - 1)]  # the robot, the last operator, has no number
            task = {"task_type": "callback", "title": f"Перезвонить по заказу A-{219_500 + i}", "caller_phone": phone}
            filed = await public.ask("POST", "/api/tasks", {**task, "operator_id": operator_id})
            self.task_ids.append(filed.json()["id"])

    async def carry_out(self, show: Show) -> None:
        """Switch on the first queue, and the second after a third of the first is finished; show both until all is finished.

        The end is when every callback and task is finished, no call runs, and no webhook is pending. Raises DemoFailed,
        httpx.HTTPError.
        """
        first, second = self.queue_ids
        await self._switch_on(first)

        async def is_under_way() -> bool:
            return _finished((await self._board(show))[0]) * 3 >= self._cast.plans[0].callbacks

        await _until(is_under_way)
        await self._switch_on(second)
        await _until(lambda: self._is_over(show))

    async def tasks(self) -> list[dict[str, Any]]:
        """Return the current tasks. Raises DemoFailed, httpx.HTTPError."""
        return [(await self._admin.ask("GET", f"/api/tasks/{task_id}")).json() for task_id in self.task_ids]

    async def callbacks(self) -> list[list[dict[str, Any]]]:
        """Return the current callbacks of each queue. Raises DemoFailed, httpx.HTTPError."""
        return [(await self._admin.ask("GET", f"{QUEUES}{queue_id}/task/")).json() for queue_id in self.queue_ids]

    async def tried_again(self) -> tuple[int, int]:
        """Return the id of a queue and of a callback in it that was busy at first. Raises DemoFailed, httpx.HTTPError."""
        rows, *_ = await self.callbacks()
        return self.queue_ids[0], next(row["id"] for row in rows if row["b_number"][-4] == self._cast.tried_again)

    async def _switch_on(self, queue_id: int) -> None:
        await self._admin.ask("PUT", f"{QUEUES}{queue_id}", {"status": "on"})

    async def _board(self, show: Show) -> list[QueueBoardRow]:
        response = await self._admin.ask("GET", "/v1/queue-board")
        queues = msgspec.json.decode(response.content, type=_Board).items
        show(queues, self._receiver.verified.total())
        return queues

    async def _is_over(self, show: Show) -> bool:
        queues = await self._board(show)
        if sum(map(_finished, queues)) < self._cast.placed + len(self.task_ids) or any(queue.taken for queue in queues):
            return False
        if self._receiver.verified["after"] < self._cast.placed:
            return False
        if (await self._admin.ask("GET", "/v1/webhook-deliveries", state="pending", limit=1)).json()["items"]:
            return False
        return all(task["status"] in _FINAL for task in await self.tasks())

    async def _has_passed(self, position: int) -> bool:
        handlers = (await self._admin.ask("GET", "/v1/projections")).json()["items"]
        return all(handler["position"] >= position for handler in handlers)


def _finished(queue: QueueBoardRow) -> int:
    return queue.succeeded + queue.failed


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():  # noqa: ASYNC110 - the condition is read over HTTP, which cannot notify
        await asyncio.sleep(_POLL_S)
