"""The process manager, pure: what each policy decides. The SQL is under the same names in ``infrastructure/policies``.

Each module names the facts that its policy handles and ignores, and returns decisions, changes or messages.

- ``decision``: a decision about a stream
- ``retry_callbacks``: a failed attempt → the callback is delayed or finished
- ``keep_timetable``: a callback that waits, a queue that changes → timetable and slots for the dispatcher
- ``carry_out_callback_tasks``: a task of type callback ↔ the callback that carries it out
- ``notify_webhooks``: an event → the message to the URL that the callback names for it
"""
