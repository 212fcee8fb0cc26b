"""Ports: protocols that adapters in ``infrastructure`` implement, with their data.

- ``event_log``: append and read facts, idempotency keys, sequences of ids.
- ``directory``: look up tokens, operators, members and organisations; record organisations.
- ``call_gateway``: place, follow and end calls on a switch.
- ``webhooks``: deliveries of webhooks, and the secrets that sign them.
- ``operations``, ``diagnosis``: reports of operating a deployment, and results of ``perezvon doctor``.

The ports of read models are in ``application/queries``.
"""
