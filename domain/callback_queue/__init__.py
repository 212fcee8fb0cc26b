"""Callback queues: a queue contains callbacks and limits how many run at one time (docs/contracts/task_scheduler.md)."""
