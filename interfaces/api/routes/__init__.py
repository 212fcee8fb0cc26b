"""Route handlers with their bodies and responses, a module for each resource.

A handler decodes the request, calls one use case or read model, and formats the response. ``registry`` lists the routers.

- ``tasks``: ``/api/tasks``; ``task_bodies`` holds its bodies and responses.
- ``callback_queues``, ``callbacks``: ``…/task_scheduler`` and the callbacks in it; ``queue_bodies`` holds their bodies and
  responses, ``callback_batch_body`` decodes up to 10,000 callbacks, ``queue_times`` parses and formats their times.
- ``call_history``: ``…/call_history``, the record of a call.
- ``queue_board``: ``/v1/queue-board``, the live board of callback queues.
- ``queue_rules``: ``/v1/queues/{queue_id}/rules``, the calling rules of a queue.
- ``administration``: members, operators, tokens and settings of an organisation.
- ``audit``: the audit trail, and the lag of views and policies.
- ``webhooks``: webhook deliveries and the signing secret.
- ``health``: liveness, readiness and Prometheus metrics.
"""
