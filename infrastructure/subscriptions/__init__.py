"""Subscriptions keep projections and policies up to date with the log.

The runner locks the checkpoint → the log's reader fetches a batch → batch_handling passes it to the handler, and parks
the streams whose events fail → the commit moves the checkpoint.

- ``handler``: the protocol of all handlers: name, facts, subscription, tuning, ``handle``
- ``projection``: handlers that fill tables, which a rebuild can swap
- ``runner``: the loop of one handler
- ``batch_handling``: passes a batch to its handler, and finds the event that fails
- ``parking``: parked streams: their rows, their log event, and the errors that park a stream
- ``checkpoints``: positions in the log, which are also the locks of handlers
- ``metrics``: progress of handlers for Prometheus
"""
