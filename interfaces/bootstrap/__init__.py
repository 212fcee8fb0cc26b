"""The composition root: the only package of the interfaces that imports infrastructure.

Each module composes adapters into what a process or command needs; nothing is re-exported.

- ``services``: the use cases over Postgres, for the API and for commands
- ``database``: the database of a process or command; migrations; the local Postgres of ``up``
- ``gateways``: the gateway that the settings name; the registry of gateways
- ``worker``: the parts of the worker process
- ``maintenance``: rebuild, retry of parked streams, diagnosis
- ``simulator``: the simulated phone network
"""
