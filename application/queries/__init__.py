"""Read models for their readers: rows, filter and port, one file per read model.

- ``task_list``: tasks, newest first. ``audit_trail``: all events of an organisation.
- ``callback_list``: callbacks of a queue. ``queue_board``: queues and their live counts.
- ``call_history``: the index from a call to its attempt.
- ``view_lag``: the position and lag of every view.

The projections and queries that implement them are in ``infrastructure/read_models``.
"""
