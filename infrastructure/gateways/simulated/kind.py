"""The simulated network as a kind of gateway."""

from collections.abc import Mapping

import msgspec

from application.ports.diagnosis import Check
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.doctor import examine_simulated


class SimulatedGatewayKind(msgspec.Struct, frozen=True):
    """See the port GatewayKind. ``address`` is ``host:port`` or the path of a Unix socket."""

    address: str

    @property
    def name(self) -> str:
        """See the port."""
        return "simulated"

    @property
    def description(self) -> str:
        """See the port."""
        return f"the simulated network at {self.address}"

    @property
    def rings_phones(self) -> bool:
        """See the port."""
        return False

    def connect(self) -> SimulatedGateway:
        """See the port."""
        return SimulatedGateway(self.address)

    async def examine(self) -> list[Check]:
        """See the port."""
        return await examine_simulated(self.address)

    def environment(self) -> Mapping[str, str]:
        """See the port."""
        return {"PEREZVON_GATEWAY": self.name, "PEREZVON_SIMULATOR_ADDRESS": self.address}
