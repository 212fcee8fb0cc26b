"""The one list of policies. Their names and summaries for the command line come from here."""

from infrastructure.policies.carry_out_callback_tasks import CarryOutCallbackTasks
from infrastructure.policies.keep_timetable import KeepTimetable
from infrastructure.policies.notify_webhooks import NotifyWebhooks
from infrastructure.policies.retry_callbacks import RetryCallbacks
from infrastructure.policies.schedule_cache import ScheduleCache
from infrastructure.subscriptions.handler import Handler


def policies() -> dict[str, Handler]:
    """Return new policies by name, for one database: policies of callbacks share a cache of schedules."""
    schedules = ScheduleCache()
    new: tuple[Handler, ...] = (
        RetryCallbacks(schedules),
        KeepTimetable(schedules),
        NotifyWebhooks(schedules),
        CarryOutCallbackTasks(schedules),
    )
    return {policy.name: policy for policy in new}


POLICIES = {name: policy.summary for name, policy in policies().items()}
"""The rule of each policy, by its name."""
