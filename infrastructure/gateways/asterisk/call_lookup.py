"""The state of calls in the switch: its channels first, then its ledger, for a call may end in between."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from application.ports.call_gateway import Absent, CallState, Ended, GatewayUnavailable, Live, Progress
from infrastructure.gateways.asterisk.ami import ActionRefused, Ami, Response
from infrastructure.gateways.asterisk.ledger import FAMILY, ended_of
from infrastructure.gateways.asterisk.messages import Message
from infrastructure.gateways.asterisk.originate import CALL_ID

_NO_ROW = "Database entry not found"


async def find(ami: Ami, call_ids: Sequence[str]) -> list[CallState]:
    """Return the state of each call, in the given order. Raises GatewayUnavailable."""
    if not call_ids:
        return []
    channels = (await ami.request("CoreShowChannels")).items
    known: dict[str, CallState] = {**_live(channels, set(call_ids))}
    without_channel = [call_id for call_id in call_ids if call_id not in known]
    rows = await asyncio.gather(*(_row(ami, call_id) for call_id in without_channel))
    known |= {call_id: row for call_id, row in zip(without_channel, rows, strict=True) if row}
    transferred = _transferred(channels)
    return [known.get(call_id) or transferred.get(call_id) or Absent() for call_id in call_ids]


def ledger_row(call_id: str, response: Response | GatewayUnavailable) -> Ended | None:
    """Return the end of a call by its ledger row, None without a row. Raises GatewayUnavailable when the query failed."""
    match response:
        case ActionRefused(reason=reason) if reason == _NO_ROW:
            return None
        case GatewayUnavailable():
            raise response
        case Response(items=[row, *_]):
            return ended_of(call_id, row.get("Val"))
        case _:
            raise GatewayUnavailable("DBGet: the response contains no row")


async def _row(ami: Ami, call_id: str) -> Ended | None:
    try:
        response = await ami.request("DBGet", Family=FAMILY, Key=call_id)
    except ActionRefused as refusal:
        response = refusal
    return ledger_row(call_id, response)


def _live(channels: Iterable[Message], call_ids: Collection[str]) -> dict[str, Live]:
    """Return the state of those calls whose A has a channel."""
    a_channels: dict[str, Message] = {}
    b_is_up: set[str] = set()
    for channel in channels:
        if (call_id := channel.get("Uniqueid")) in call_ids:
            a_channels[call_id] = channel
        elif _is_up(channel):
            b_is_up.add(channel.get("Linkedid"))
    return {call_id: Live(_progress(channel, call_id in b_is_up)) for call_id, channel in a_channels.items()}


def _progress(a_channel: Message, b_is_up: bool) -> Progress:  # noqa: FBT001 - one of two facts
    if not _is_up(a_channel):
        return Progress.RINGING_A
    return Progress.JOINED if b_is_up or a_channel.get("BridgeId") else Progress.RINGING_B


def _is_up(channel: Message) -> bool:
    return channel.get("ChannelStateDesc") == "Up"


def _transferred(channels: Iterable[Message]) -> dict[str, Live]:
    """Return the state of calls by channels other than A's own: after a transfer others carry the call's id."""
    return {
        call_id: Live(Progress.JOINED if channel.get("BridgeId") else Progress.RINGING_B)
        for channel in channels
        if (call_id := channel.variable(CALL_ID))
    }
