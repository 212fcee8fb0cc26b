"""All projections that the runner keeps, by name."""

from infrastructure.projection import Projection
from infrastructure.projections.audit_trail import AuditTrailProjection
from infrastructure.projections.call_history import CallHistoryProjection
from infrastructure.projections.callback_list import CallbackListProjection
from infrastructure.projections.queue_board import QueueBoardProjection
from infrastructure.projections.task_list import TaskListProjection

PROJECTIONS: dict[str, Projection] = {
    projection.name: projection
    for projection in (
        TaskListProjection(),
        AuditTrailProjection(),
        CallbackListProjection(),
        QueueBoardProjection(),
        CallHistoryProjection(),
    )
}
