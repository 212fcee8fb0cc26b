"""Look-ups of names: the organisations share their places, and one that waits for a place shows nothing about its host."""

import asyncio
from collections.abc import Sequence

import pytest

from application.fair_share import FairShare
from infrastructure.webhooks import name_lookup, ssrf_guard
from infrastructure.webhooks.delivery_schedule import ReceiverResponse
from infrastructure.webhooks.name_lookup import CaresLookup
from infrastructure.webhooks.sender import LOOKUPS_MAX, AiohttpSender, open_sender
from tests.support.receiving import receiving
from tests.support.waiting import eventually_async
from tests.support.webhooks import OPTIONS

pytestmark = pytest.mark.anyio

HOSTILE, HEALTHY = 1, 2


class NameServer:
    """Finds ``known`` names at 127.0.0.1; look-ups of others hang until the test ends."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.hanging = 0
        self.cancelled = 0

    async def __call__(self, host: str) -> Sequence[str]:
        if host in self.known:
            return ["127.0.0.1"]
        self.hanging += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return []


async def post(sender: AiohttpSender, organization: int, url: str) -> ReceiverResponse:
    return await sender.post(organization, url, {"webhook-id": "msg_1"}, b"{}")


async def test_dead_names_of_one_organisation_do_not_delay_the_look_up_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ssrf_guard, "DNS_SECONDS", 600.0)
    monkeypatch.setattr(ssrf_guard, "PLACE_SECONDS", 600.0)
    names = NameServer("good.example")
    async with receiving() as receiver, open_sender(OPTIONS, names) as sender:
        dead = [
            asyncio.create_task(post(sender, HOSTILE, f"http://dead-{number}.example:8080/"))
            for number in range(2 * LOOKUPS_MAX)
        ]

        async def half_of_the_places_are_held() -> bool:
            return names.hanging == LOOKUPS_MAX // 2

        await eventually_async(half_of_the_places_are_held)
        port = receiver.url.rpartition(":")[2]
        assert (await post(sender, HEALTHY, f"http://good.example:{port}/")).status == 204
        assert names.hanging == LOOKUPS_MAX // 2
        for task in dead:
            task.cancel()
        await asyncio.gather(*dead, return_exceptions=True)
        assert names.cancelled == names.hanging


async def test_a_look_up_that_got_no_place_is_no_evidence_and_costs_no_time_of_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ssrf_guard, "DNS_SECONDS", 600.0)
    monkeypatch.setattr(ssrf_guard, "PLACE_SECONDS", 2 * OPTIONS.timeout)
    names = NameServer()
    places = FairShare("look-ups", 8)
    async with open_sender(OPTIONS, names, places) as sender:
        while places.try_acquire(HOSTILE):
            pass
        response = await post(sender, HOSTILE, "http://waits.example:8080/")
        assert (response.status, response.error, response.is_evidence) == (None, "lookup_not_started", False)
        assert response.seconds > OPTIONS.timeout
        assert names.hanging == 0


async def test_the_time_of_a_look_up_counts_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssrf_guard, "DNS_SECONDS", 0.2)
    names = NameServer("queued.example")
    places = FairShare("look-ups", 8)
    async with receiving() as receiver, open_sender(OPTIONS, names, places) as sender:
        while places.try_acquire(HEALTHY):
            pass
        port = receiver.url.rpartition(":")[2]
        waiting = asyncio.create_task(post(sender, HEALTHY, f"http://queued.example:{port}/"))
        assert (await post(sender, HOSTILE, "http://dead.example:8080/")).error == "dns_failed"  # after DNS_SECONDS
        assert not waiting.done()
        places.release(HEALTHY)
        assert (await waiting).status == 204


async def test_a_name_that_does_not_exist_has_its_own_error() -> None:
    async def unknown(_host: str) -> Sequence[str]:
        raise OSError("Domain name not found")

    async with open_sender(OPTIONS, unknown) as sender:
        assert (await post(sender, HEALTHY, "http://nobody.example/")).error == "dns_failed"


async def test_c_ares_finds_this_machine_and_closes_old_channels_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_lookup, "_PER_CHANNEL", 2)
    lookup = CaresLookup()
    channels = set[int]()
    for _ in range(5):
        assert set(await lookup("localhost")) <= {"127.0.0.1", "::1"}
        channels.add(id(lookup._channel))
    await lookup.close()
    assert len(channels) > 1


async def test_c_ares_raises_an_os_error_for_a_name_that_cannot_exist() -> None:
    lookup = CaresLookup()
    with pytest.raises(OSError, match=r".+"):
        await lookup(f"{'a' * 64}.example")
    await lookup.close()
