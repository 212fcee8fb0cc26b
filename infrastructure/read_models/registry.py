"""The one list of projections. The names of views and the questions that they answer come from here."""

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
"""The projections by the names of their views."""

VIEWS = {projection.name: projection.summary for projection in PROJECTIONS.values()}
"""The question that each view answers, by its name."""
