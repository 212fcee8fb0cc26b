"""Operations on what is derived from the log.

Projections and policies follow the log in the worker; a view can be rebuilt; parked streams can be retried after a fix.

- ``subscribers``: all projections and policies, with their summaries
- ``projection_worker``: runs them all, shows their lag, and deletes expired idempotency keys
- ``view_lag``: positions and lag, and waits for a view to catch up
- ``readiness``: the check behind ``/health/ready``
- ``rebuild``: fills new tables for a projection, compares and swaps them
- ``shadow_tables``: the tables that a rebuild fills
- ``retry_parked``: handles parked streams after a fix
- ``doctor``: checks of ``perezvon doctor``
"""
