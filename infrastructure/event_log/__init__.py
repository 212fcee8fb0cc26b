"""The event log; also a persistence module of the ``eventsourcing`` library.

``PERSISTENCE_MODULE=infrastructure.event_log`` makes that library look here for its one factory class.
"""

from infrastructure.event_log.library_factory import EventLogFactory

__all__ = ["EventLogFactory"]
