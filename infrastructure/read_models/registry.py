"""All projections that the runner keeps, by name."""

from infrastructure.read_models.audit_trail.projection import AuditTrailProjection
from infrastructure.read_models.call_history.projection import CallHistoryProjection
from infrastructure.read_models.callback_list.projection import CallbackListProjection
from infrastructure.read_models.queue_board.projection import QueueBoardProjection
from infrastructure.read_models.task_list.projection import TaskListProjection
from infrastructure.subscriptions.projection import Projection

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
