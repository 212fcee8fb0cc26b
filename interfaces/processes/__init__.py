"""The long-running processes, except the API (interfaces/api/server.py).

- ``up``: everything on one machine, under ``supervisor``; children end with their parent (``parent_watch``)
- ``worker``: views, policies, dispatcher and webhooks
- ``simulator``: the simulated phone network
- ``metrics_server``: Prometheus metrics of ``serve`` and ``work``, and those of the fair shares
- ``sockets``, ``event_loop``, ``garbage_collection``: listening sockets, and what all of them use
"""
