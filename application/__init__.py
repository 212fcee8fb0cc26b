"""Use cases of the call centre. They know the domain and their ports, but neither Postgres nor HTTP.

An HTTP handler or a command calls a use case with a ``Request`` → the use case loads the stream through a port → the
aggregate decides → ``command_handler`` appends the facts.

- ``tasks``, ``callback_queues``, ``callbacks``, ``organizations``: the use cases that change something.
- ``call_history``, ``task_search``, ``queue_rules``: the use cases that only read.
- ``command_handler``: load, decide, append; retry on conflict, If-Match, idempotent replay.
- ``new_callbacks``: validation of many new callbacks; ``webhook_targets``: the URLs that webhooks can be sent to.
- ``headroom``: limits of what an organisation may have.
- ``callers``: the caller and its request; ``errors``: what a use case raises besides refusals of the domain.
- ``phones``, ``dial_policy``: how a number is read, and whether it may be called.
- ``number_quota``, ``call_admission``: quotas of numbers and organisations, when scheduled and when dialled.
- ``ids``, ``phone_line_key``, ``caller_ids``, ``cooperative``, ``webhook_options``: small parts.
- ``ports``: what the use cases need from outside. ``queries``: rows, filter and port of each read model.
- ``policies``: what follows from recorded facts (the process manager).
"""
