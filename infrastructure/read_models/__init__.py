"""Read models: a package per view, with the projection that fills its tables and the query that reads them.

The runner of ``infrastructure/subscriptions`` passes events to ``projection`` → tables → ``query`` implements the port of
``application/queries``.

- ``registry``: the one list of projections, with the question that each view answers
- ``view_reader``: runs queries of views that a rebuild may swap
- ``task_list``: tasks of an organisation, and their counts
- ``audit_trail``: envelopes of all events
- ``callback_list``: callbacks of queues, and their counts
- ``queue_board``: callback queues, and the live board
- ``call_history``: which attempt a call belongs to
"""
