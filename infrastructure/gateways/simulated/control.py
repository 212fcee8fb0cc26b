"""Control of the simulated network, for tests and demos: counts, faults and restarts."""

from types import TracebackType
from typing import Self

from infrastructure.gateways.simulated.connection import Connection
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Counts
from infrastructure.gateways.simulated.protocol import Count, CountResponse, Disturb, Done, Restart


class Control:
    """A connection to the simulated network without events. All methods raise GatewayUnavailable when it is unreachable."""

    def __init__(self, address: str, *, timeout_s: float = 5.0) -> None:
        """Connect to ``address``, a ``host:port`` or the path of a Unix socket."""
        self._connection = Connection(address, timeout_s, lambda _events: None)

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.__aexit__(kind, error, traceback)

    async def counts(self) -> Counts:
        """Return the network's counts."""
        return (await self._connection.request(Count(), CountResponse)).counts

    async def disturb(self, faults: Faults) -> None:
        """Set the faults from now on; ``Faults()`` ends them."""
        await self._connection.request(Disturb(faults), Done)

    async def restart(self, *, keep_ledger: bool) -> None:
        """Crash and restart the switch; this connection is lost with all others."""
        await self._connection.request(Restart(keep_ledger), Done)
