"""The event log: append in group commits, read streams and batches, encode and decode facts.

Commands are batched by ``log``; ``append`` passes a batch to the one SQL function that may insert events, which numbers
them without gaps under a lock; ``reader`` follows these numbers and misses none
(docs/adr/0001-one-door-into-the-log.md).

    log                  the port ``EventLog``: commands and reads of requests, batched
    append               a batch of commands passed to the log's function, and its verdicts
    bulk_append          very many new streams, as one command
    decisions            policies and the dispatcher: decide on streams and append, in their transaction
    reader               events after a position, in batches bounded by count and by bytes
    codec                facts to bytes and back; rows to recorded facts
    upcasters            old shapes of facts, converted when they are read
    identity             the ids of the log and the positions from which each is in force
    sequences            ids of new queues and callbacks
    idempotency_cleanup  deletion of idempotency keys after 24 hours
    metrics              counters of appends
    library_factory, library_recorder, library_mapper
                         the same log as a persistence module of the ``eventsourcing`` library

``PERSISTENCE_MODULE=infrastructure.event_log`` makes that library look here for its one factory class.
"""

from infrastructure.event_log.library_factory import EventLogFactory

__all__ = ["EventLogFactory"]
