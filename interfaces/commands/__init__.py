"""The commands of ``perezvon``, one file per group.

- ``processes``: up, serve, work, migrate; ``simulator``
- ``organizations``, ``administration``: organisations; members, operators, tokens
- ``history``: history and replay of a stream
- ``views``: rebuild, retry-parked
- ``queue_board``, ``webhooks``, ``doctor``
- ``common``: shared options and parameter types; ``output``: JSON and tables; ``errors``: exit codes
"""
