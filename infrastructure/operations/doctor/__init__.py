"""Checks of ``perezvon doctor`` that read the database. Each kind of gateway examines its switch itself.

- database: server settings, schema, role, append-only log, search, webhook secrets, clock, workers
- snapshots: a sample is compared with the fold of the log
- dispatch: gateways that workers lead, and callbacks that are due while no worker dials
"""
