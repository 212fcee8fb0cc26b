"""Callbacks: call A, then B, and join them; retry after a pause until success or until no tries are left.

The contract is docs/contracts/task_scheduler.md; outcomes are described in docs/asterisk.md.
"""
