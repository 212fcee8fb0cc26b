"""Interfaces: HTTP, the command line and the processes. They compose everything and decide nothing.

- ``api``: the HTTP API
- ``cli``, ``commands``: the command line
- ``processes``: worker, simulator, and ``up``
- ``bootstrap``: the composition root, which alone imports infrastructure
- ``config``: settings; ``demo``: the sample day of ``up --demo``
"""
