"""Aggregates, facts and rules of the call centre. Pure and synchronous code: it reads no clock and does no I/O.

A decision of an aggregate returns facts; ``evolve`` applies a recorded fact to the aggregate; ``replay`` applies a stream.

- ``model``: facts, and the envelope of a recorded fact.
- ``catalogue``: all facts by tag.
- ``streams``: names of streams.
- ``snapshots``: aggregates of which snapshots are kept, and the numbers of their folds.
- ``values``, ``limits``: roles and permissions, checked values, the limits of all values.
- ``errors``: refusals.
- ``task``, ``callback``, ``callback_queue``, ``organization``: an aggregate each, in ``events.py`` and a module of its own name.
- ``callback.retry_policy``: what follows a failed attempt; ``callback.outcomes``: the contract's words for outcomes.
"""
