"""Client of the HTTP API: only the three calls that the CRM needs."""

from contextlib import suppress
from typing import Any, cast

import httpx

from .config import Config
from .customers import Customer, State

CONFLICT = 409
REFUSALS = {400, 413, 422}  # the request itself is wrong: sending it again cannot help


class RequestRefused(Exception):
    """perezvon refused what was sent. The text is its reason."""


class Conflict(RequestRefused):
    """What was sent does not fit what perezvon has on record now."""


class TryLater(Exception):
    """perezvon could not be reached, is busy, or its settings or ours must be mended first."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        """`retry_after_s` is how long to wait at least, if perezvon said so."""
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Perezvon:
    """The API of one organisation. All methods raise TryLater, those that say so RequestRefused too."""

    def __init__(self, config: Config) -> None:
        """Connect with the first request."""
        self._config = config
        self._http = httpx.Client(
            base_url=config.perezvon_url, headers={"Authorization": f"Bearer {config.token}"}, timeout=10
        )

    def file_task(self, customer: Customer) -> str:
        """File the task that remains on record, and return its id. Raises RequestRefused."""
        task = {
            "operator_id": self._config.operator_key,
            "title": f"Call {customer.name} back",
            "task_type": "consultation",  # one of type "callback" may be dialled by the organisation's own queue
            "caller_name": customer.name,
            "caller_phone": customer.phone,
        }
        return self._post("/api/tasks", task, f"task-{customer.id}")["id"]

    def place_callback(self, customer: Customer) -> int:
        """Have the agent and then the customer called, and return the callback's id. Raises RequestRefused."""
        events = f"{self._config.public_url}/webhooks"
        callback = {
            "name": customer.id,
            "a_number": self._config.agent_number,
            "b_number": customer.phone,
            "try_count": self._config.tries,
            "try_again_pause": str(self._config.pause_s),
            "url_before": events,
            "url_before_again": events,
            "url_success": events,
            "url_after": events,
        }
        path = f"/api/ver1.0/client/@me/task_scheduler/{self._config.queue_id}/task/"
        (placed,) = self._post(path, {"tasks": [callback]}, f"callback-{customer.id}")
        return placed["id"]

    def close_task(self, task_id: str, state: State, reason: str | None) -> None:
        """Show in the task what became of the callback. It may be repeated."""
        match state:
            case State.REACHED:
                change = {"status": "completed"}
            case State.CANCELLED:
                change = {"status": "cancelled", "reason": "The callback was deleted"}
            case _:
                change = {"status": "failed", "error_message": reason or "Not reached"}
        with suppress(Conflict):  # somebody else has closed the task meanwhile
            self._send("PUT", f"/api/tasks/{task_id}/status", change)

    def _post(self, path: str, body: Any, idempotency_key: str) -> Any:
        # With the same key the same request returns the first response again: a retry neither files nor calls twice.
        try:
            return self._send("POST", path, body, {"Idempotency-Key": idempotency_key})
        except Conflict as error:  # our earlier request with this key, whose response was lost, is still running
            raise TryLater(str(error)) from error

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        try:
            response = self._http.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise TryLater(f"no response ({error})") from error
        if response.is_success:
            return response.json()
        text = f"{response.status_code}: {_reason(response)}"
        if response.status_code == CONFLICT:
            raise Conflict(text)
        if response.status_code in REFUSALS:
            raise RequestRefused(text)
        # 429 and 5xx pass by themselves. 401, 403 and 404 mean that our settings are wrong: no customer is given up.
        after = response.headers.get("Retry-After", "")
        raise TryLater(text, float(after) if after.isdecimal() else None)


def _reason(response: httpx.Response) -> str:
    """Return what an error says. `/api/tasks` and `task_scheduler` have a form of their own each (docs/api.md)."""
    try:
        error = response.json()
    except ValueError:
        return response.text[:200]
    faults = error.get("errors") or error.get("detail") or error.get("message")
    return "; ".join(map(_fault, cast("list[dict[str, Any]]", faults))) if isinstance(faults, list) else str(faults)


def _fault(fault: dict[str, Any]) -> str:
    if "field" in fault:
        return f"{fault['field']}: {fault['message']}"
    return f"{fault['loc'][-1]}: {fault['msg']}"
