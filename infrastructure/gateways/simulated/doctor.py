"""What ``perezvon doctor`` asks the simulated network: is it there?"""

from application.ports.call_gateway import GatewayUnavailable
from application.ports.diagnosis import Check, passed
from infrastructure.gateways.simulated.control import Control


async def examine_simulated(address: str) -> list[Check]:
    """Ask the simulated network at an address for a sign of life."""
    try:
        async with Control(address) as control:
            counts = await control.counts()
    except GatewayUnavailable as error:
        advice = "Start `perezvon simulator`, at the address that PEREZVON_SIMULATOR_ADDRESS names"
        return [Check(name="switch", state="fail", message=f"It cannot be reached: {error}", advice=advice)]
    message = f"The simulated network at {address} has placed {counts.placed} calls; no phone rings"
    return [passed("switch", message)]
