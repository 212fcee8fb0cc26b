"""The one list of policies. Their names and summaries for the command line come from here."""

from infrastructure.policies.carry_out_callback_tasks import CarryOutCallbackTasks
from infrastructure.policies.keep_timetable import KeepTimetable
from infrastructure.policies.notify_webhooks import NotifyWebhooks
from infrastructure.policies.retry_callbacks import RetryCallbacks
from infrastructure.policies.schedule_cache import ScheduleCache
from infrastructure.subscriptions.handler import Handler

_POLICIES = (RetryCallbacks, KeepTimetable, NotifyWebhooks, CarryOutCallbackTasks)

POLICIES = {policy.name: policy.summary for policy in _POLICIES}
"""The rule of each policy, by its name."""


def policies() -> dict[str, Handler]:
    """Return new policies by name, for one database: they share a cache of it."""
    schedules = ScheduleCache()
    return {policy.name: policy(schedules) for policy in _POLICIES}
