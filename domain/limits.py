"""Limits and defaults of values. Each is defined only here; the HTTP API and the commands import it."""

# Texts, in characters (docs/contracts/tasks.md, Limits)
TITLE_MAX = 500
NAME_MAX = 200
COMMENT_MAX = 2_000
DESCRIPTION_MAX = 20_000
TRANSCRIPTION_MAX = 1_000_000
ID_MAX = 128
PHONE_MAX = 64
URL_MAX = 2_048

# Digits of an extension, a short number inside a switch
EXTENSION_MIN = 2
EXTENSION_MAX = 8

# Histories
TASK_ATTEMPTS_MAX = 1_000
"""Attempts of a task: it is reprocessed at most this many times, less one."""
TASK_HISTORY_BYTES_MAX = 16 << 20
"""Bytes of a task's facts and reasons, as they are stored."""
HISTORY_BYTES_MAX = 256 << 20
"""Bytes of the facts and reasons of a queue or an organisation, which live long."""
HISTORY_PAGE_MAX = 1_000
"""Events of a page of a history."""

# Callbacks and their queues (docs/contracts/task_scheduler.md)
CONCURRENT_CALLBACKS_MAX = 10_000
"""Callbacks of a queue that run at one time."""
DEFAULT_CONCURRENT_CALLBACKS = 1
NEW_CALLBACKS_MAX = 10_000
"""Callbacks that one request schedules."""
TRIES_MAX = 50
DEFAULT_TRIES = 1
PAUSE_MAX_S = 604_800
DEFAULT_PAUSE_S = 60
START_AHEAD_MAX_S = 365 * 86_400

# Retry policies
JITTER_MAX_PERCENT = 20
FREE_CONGESTIONS_MAX = 20
BACKOFF_MAX_S = 3_600

OWN_LIMIT_MAX = 1_000_000_000
"""The greatest limit that an organisation can be given."""

SECRET_OVERLAP_MAX_S = 7 * 86_400
"""Time for which a replaced webhook secret signs beside the new one."""
