"""Names of streams: a prefix for the kind of aggregate, then the aggregate's id, such as ``callback/4711``.

The names are stored in the log and in idempotency records, so they never change.
"""

TASK_PREFIX = "task/"
CALLBACK_PREFIX = "callback/"
QUEUE_PREFIX = "queue/"
ORGANIZATION_PREFIX = "organization/"


def task_stream(task_id: str) -> str:
    """Return the name of a task's stream."""
    return TASK_PREFIX + task_id


def callback_stream(callback_id: int) -> str:
    """Return the name of a callback's stream."""
    return f"{CALLBACK_PREFIX}{callback_id}"


def queue_stream(queue_id: int) -> str:
    """Return the name of a callback queue's stream."""
    return f"{QUEUE_PREFIX}{queue_id}"


def organization_stream(organization_id: int) -> str:
    """Return the name of an organisation's stream."""
    return f"{ORGANIZATION_PREFIX}{organization_id}"


def prefix_of(stream: str) -> str:
    """Return the prefix of a stream's name, such as ``callback/``."""
    return stream[: stream.find("/") + 1]


def aggregate_id(stream: str) -> str:
    """Return the id in a stream's name: what follows its prefix."""
    return stream[stream.find("/") + 1 :]


def aggregate_number(stream: str) -> int:
    """Return the id in a stream's name as a number. Raises ValueError for a task's, which is a UUID."""
    return int(stream[stream.find("/") + 1 :])
