"""Asterisk as a kind of gateway."""

from collections.abc import Mapping

import msgspec

from application.ports.diagnosis import Check
from infrastructure.gateways.asterisk.client import AsteriskGateway
from infrastructure.gateways.asterisk.doctor import examine_asterisk
from infrastructure.gateways.asterisk.options import AsteriskOptions


class AsteriskGatewayKind(msgspec.Struct, frozen=True):
    """See the port GatewayKind."""

    options: AsteriskOptions

    @property
    def name(self) -> str:
        """See the port."""
        return "asterisk"

    @property
    def address(self) -> str:
        """See the port."""
        return self.options.address

    @property
    def description(self) -> str:
        """See the port."""
        return f"the trunk {self.options.trunk} of the Asterisk at {self.address}"

    @property
    def rings_phones(self) -> bool:
        """See the port."""
        return True

    def connect(self) -> AsteriskGateway:
        """See the port."""
        return AsteriskGateway(self.options)

    async def examine(self) -> list[Check]:
        """See the port."""
        return await examine_asterisk(self.options)

    def environment(self) -> Mapping[str, str]:
        """See the port. User, secret, trunk and TLS are inherited: the secret appears in no command and no log."""
        return {"PEREZVON_GATEWAY": self.name, "PEREZVON_ASTERISK_ADDRESS": self.address}
