"""The view `task_list`: rows as the domain has them, filters, search, totals and pages."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import product
from typing import Any

import pytest
from psycopg import AsyncConnection

from application.queries import TaskListFilter, TaskRow
from domain.task.events import AppealLinked, Priority, TaskFact, TaskType
from domain.task.task import Status, Task, replay
from infrastructure.batches import BatchReader
from infrastructure.event_log.postgres_log import read_identity
from infrastructure.projection import VersionGap
from infrastructure.projections.task_list import TaskListProjection
from tests.support.histories import filed
from tests.support.views import Views, new_task, open_views

pytestmark = pytest.mark.anyio

ALL = TaskListFilter(include_cancelled=True)


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def history(status: Status = Status.PENDING, **fields: Any) -> list[TaskFact]:
    """The facts of a task that was filed with the fields and then got the status."""
    task = Task(  # only to let the domain decide which fact that is
        id="", organization_id=1, version=1, operator_number=1, task_type=TaskType.OTHER, priority=Priority.NORMAL,
        details=filed().personal, created_at=None, updated_at=None,
    )
    return [filed(**fields), *task.change_status(status)]
