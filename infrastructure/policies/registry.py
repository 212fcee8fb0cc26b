"""All policies that the runner runs."""

from infrastructure.policies.carry_out_callback_tasks import CarryOutCallbackTasks
from infrastructure.policies.keep_timetable import KeepTimetable
from infrastructure.policies.notify_webhooks import NotifyWebhooks
from infrastructure.policies.retry_callbacks import RetryCallbacks
from infrastructure.policies.schedule_cache import Schedules
from infrastructure.subscriptions.handler import Handler


def policies() -> dict[str, Handler]:
    """Answer all policies by name, to run on one database: they share what they remember of it."""
    schedules = Schedules()
    made = (
        RetryCallbacks(schedules),
        KeepTimetable(schedules),
        NotifyWebhooks(schedules),
        CarryOutCallbackTasks(schedules),
    )
    return {policy.name: policy for policy in made}


POLICIES = tuple(policies())
"""Their names."""
