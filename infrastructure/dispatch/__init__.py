"""The dispatcher: starts due attempts within the limits of queues and switch, and records how their calls end.

The dispatcher elects → the leader runs the loops → due_queue picks → attempt_starter commits → call_placer dials →
outcome_recorder commits the end → the reconciler repairs (docs/contracts/task_scheduler.md, docs/asterisk.md; ADRs 0009
and 0011).

- dispatcher: the worker's part that leads a gateway whenever no other worker does
- lease: the gateway's lease with its fencing token, of which one worker holds each
- leader: the loops that run side by side during one term of leadership
- leadership_term: what these loops share: lease, pool, connection to the switch, pacing
- organization_turns: which organisations may have calls to start, and whose turn it is
- timetable_news: notifications of what changed in the timetable
- due_queue: which due callbacks are next, fair to organisations and queues
- line_waits: callbacks set apart while a call with their client runs
- line_wait_release: returns them to the timetable when their queue has other rules or is deleted
- queue_slots: locks the slots of queues in one order
- choice: which of the due callbacks start now, and when the others are examined again
- attempt_starter: the transaction that records attempts and takes their queue slots
- call_rules: which of them may be called, by rules and quotas of their organisations
- open_lines: how many callbacks to a number are open, for the quota of new ones
- started_attempt: an attempt that was recorded and is about to be dialled
- call_placer: announces a call to webhooks, then has the switch dial it
- outcome_recorder: the transaction that records events of the switch and frees queue slots
- reconciler: compares open calls with the switch's state, and records what was missed
- hangup_loop: hangs up calls whose callbacks were deleted
- deleted_queue_sweeper: cancels callbacks that wait in deleted queues
- rests: loops that leave most of the time to others
- open_calls: rows of open calls, and a cache of them with their facts
- quarantine: callbacks whose streams cannot be read, set apart so that they do not block others
- pacing: rate limit, channels with a share for each organisation, and circuit breaker: how many calls may start now
- breaker: a circuit breaker: congestions in a row open it, and a probe closes it
- breakers: the breakers of a gateway, its organisations and their numbers
- handover: marks calls that a term left undialled, so that the next leader records them as free
- gateway_state: what of pacing outlives a term, and what the queue board shows of it
- metrics: Prometheus metrics of all of these
"""
