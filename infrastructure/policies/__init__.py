"""Policies with their SQL; what they decide is pure, under the same names in ``application/policies``.

A policy handles facts in the transaction that moves its checkpoint: it writes rows first, then appends its decisions.

- ``registry``: the one list of policies
- ``retry_callbacks``: a failed attempt → the callback is delayed or finished
- ``keep_timetable``: a callback that waits, a queue that changes → timetable and slots for the dispatcher
- ``carry_out_callback_tasks``: a task of type callback ↔ the callback that carries it out
- ``notify_webhooks``: an event → a message in the outbox
- ``schedule_cache``: first facts of callbacks, shared by the policies
"""
