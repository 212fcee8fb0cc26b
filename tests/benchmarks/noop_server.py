"""Our service with one more route, ``POST /noop``: it validates the same body, returns the same task and stores nothing."""

import sys
from datetime import UTC, datetime

import msgspec
from litestar import Litestar, Response, post
from litestar.enums import MediaType
from litestar.params import JSONBody

from application.tasks import TaskResult
from domain.task.events import CallDetails
from domain.task.task import Task
from interfaces.api import server
from interfaces.api.routes.task_bodies import NewTaskBody, TaskResponse, task_response
from interfaces.api.web.json_body import JsonRequest
from interfaces.bootstrap.services import Services
from interfaces.cli import main
from interfaces.config.settings import Settings

_encoder = msgspec.json.Encoder()
_create_app = server.create_app


@post("/noop", status_code=200, request_class=JsonRequest)
async def noop(data: JSONBody[NewTaskBody]) -> Response[bytes]:
    """Return the task that ``POST /api/tasks`` would have filed."""
    now = datetime.now(UTC)
    task = Task(
        id="01900000-0000-7000-8000-000000000001",
        organization_id=1,
        version=1,
        operator_number=1,
        task_type=data.task_type,
        priority=data.priority,
        details=CallDetails(subject="-", title=data.title, description=data.description),
        created_at=now,
        updated_at=now,
    )
    body: TaskResponse = task_response(TaskResult(task=task, position=1))
    headers = {"ETag": '"1"', "Perezvon-Position": "1"}
    return Response(_encoder.encode(body), headers=headers, media_type=MediaType.JSON)


def create_app(settings: Settings, services: Services) -> Litestar:
    """Return the application of the service with the additional route."""
    app = _create_app(settings, services)
    app.register(noop)
    return app


if __name__ == "__main__":
    server.create_app = create_app
    sys.exit(main())
