"""Examination of the simulated network: it can be reached."""

from application.ports.call_gateway import GatewayUnavailable
from application.ports.diagnosis import Check, passed
from infrastructure.gateways.simulated.control import Control


async def examine_simulated(address: str) -> list[Check]:
    """Check whether the simulated network at an address responds."""
    try:
        async with Control(address) as control:
            counts = await control.counts()
    except GatewayUnavailable as error:
        advice = "Start `perezvon simulator` at the address in PEREZVON_SIMULATOR_ADDRESS"
        return [
            Check(
                name="switch", state="fail", message=f"The simulated network cannot be reached: {error}", advice=advice
            )
        ]
    message = f"The simulated network at {address} has placed {counts.placed} calls; no phone rings"
    return [passed("switch", message)]
