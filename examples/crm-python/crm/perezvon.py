"""Client of the HTTP API, with the three requests that the CRM needs."""

from contextlib import suppress
from typing import Any, cast

import httpx

from .config import Config
from .customers import Customer, State

CONFLICT = 409
REFUSALS = {400, 413, 422}  # the request itself is invalid: a retry cannot succeed


class RequestRefused(Exception):
    """perezvon refused a request. The text is its reason."""


class Conflict(RequestRefused):
    """A request conflicts with the current state in perezvon."""


class TryLater(Exception):
    """perezvon is unreachable or busy, or its settings or the CRM's are wrong: retry later."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        """Store the reason, and the minimum seconds to wait if perezvon requested a wait."""
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Perezvon:
    """The API of one organisation. All methods raise TryLater, and RequestRefused where documented."""

    def __init__(self, config: Config) -> None:
        """Prepare a client; the first request connects."""
        self._config = config
        self._http = httpx.Client(
            base_url=config.perezvon_url, headers={"Authorization": f"Bearer {config.token}"}, timeout=10
        )

    def file_task(self, customer: Customer) -> str:
        """File a task that documents the callback, and return its id. Raises RequestRefused."""
        task = {
            "operator_id": self._config.operator_key,
            "title": f"Call {customer.name} back",
            "task_type": "consultation",  # perezvon may dial a task of type "callback" itself, in the organisation's queue
            "caller_name": customer.name,
            "caller_phone": customer.phone,
        }
        return self._post("/api/tasks", task, f"task-{customer.id}")["id"]

    def place_callback(self, customer: Customer) -> int:
        """Place a callback, which calls the agent and then the customer; return its id. Raises RequestRefused."""
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
        """Set the status of the task to the result of the callback. May be repeated."""
        match state:
            case State.REACHED:
                change = {"status": "completed"}
            case State.CANCELLED:
                change = {"status": "cancelled", "reason": "The callback was deleted"}
            case _:
                change = {"status": "failed", "error_message": reason or "Not reached"}
        with suppress(Conflict):  # another user has closed the task meanwhile
            self._send("PUT", f"/api/tasks/{task_id}/status", change)

    def _post(self, path: str, body: Any, idempotency_key: str) -> Any:
        # With the same key the same request returns the first response again: a retry has no second effect.
        try:
            return self._send("POST", path, body, {"Idempotency-Key": idempotency_key})
        except Conflict as error:  # an earlier request with this key, whose response was lost, still runs
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
        # 429 and 5xx are temporary. 401, 403 and 404 mean that our settings are wrong: keep all customers and retry.
        after = response.headers.get("Retry-After", "")
        raise TryLater(text, float(after) if after.isdecimal() else None)


def _reason(response: httpx.Response) -> str:
    """Return the text of an error. `/api/tasks` and `task_scheduler` use different formats (docs/api.md)."""
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
