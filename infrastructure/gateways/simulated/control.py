"""For tests and demos: asks the simulated network for its counts, and makes things go wrong in it."""

from types import TracebackType
from typing import Self

from infrastructure.gateways.simulated.connection import Connection
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Counts
from infrastructure.gateways.simulated.protocol import Count, CountResponse, Disturb, Done, Restart


class Control:
    """A connection to the simulated network that hears no events. Everything raises GatewayUnavailable where it is away."""

    def __init__(self, address: str, *, patience_s: float = 5.0) -> None:
        """``address`` is ``host:port`` or the path of a Unix socket."""
        self._line = Connection(address, patience_s, lambda _news: None)

    async def __aenter__(self) -> Self:
        await self._line.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._line.__aexit__(kind, error, traceback)

    async def counts(self) -> Counts:
        """Answer what the network counted."""
        return (await self._line.ask(Count(), CountResponse)).counts

    async def disturb(self, faults: Faults) -> None:
        """Set what goes wrong from now on; ``Faults()`` ends it."""
        await self._line.ask(Disturb(faults), Done)

    async def restart(self, *, keep_ledger: bool) -> None:
        """Let the switch fall over and come back; this connection is lost with all others."""
        await self._line.ask(Restart(keep_ledger), Done)
