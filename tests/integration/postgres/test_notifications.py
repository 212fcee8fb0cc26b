"""Notifications: one connection listens to all channels, and wakes those who wait for them."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from infrastructure.postgres import notifications
from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.notifications import NEW_EVENTS, TIMETABLE, WEBHOOKS, Listener
from tests.support.histories import filed
from tests.support.relay import Relay
from tests.support.views import Views, new_task, open_views

pytestmark = pytest.mark.anyio


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def test_new_events_wake_who_listens(views: Views) -> None:
    listener = Listener(service_dsn(views.dsn))
    wake = listener.channel(NEW_EVENTS).subscribe()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        listening = group.create_task(listener.run())
        await wake.wait()  # now it listens
        wake.clear()
        await views.record(f"task/{new_task()}", filed("A"))
        await wake.wait()
        listening.cancel()


async def test_one_connection_wakes_for_each_channel_only_who_subscribed_to_it(views: Views) -> None:
    listener, heard = Listener(service_dsn(views.dsn)), list[str]()
    wakes = {channel: listener.channel(channel).subscribe() for channel in (TIMETABLE, WEBHOOKS)}
    listener.channel(TIMETABLE).observe(heard.append)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        listening = group.create_task(listener.run())
        for wake in wakes.values():
            await wake.wait()  # now it listens
            wake.clear()
        await views.do("SELECT pg_notify('webhooks', 'a'), pg_notify('timetable', 'b')")
        for wake in wakes.values():
            await wake.wait()
            wake.clear()
        await views.do("SELECT pg_notify('timetable', 'c')")
        await wakes[TIMETABLE].wait()
        assert not wakes[WEBHOOKS].is_set()
        assert heard == ["", "b", "c"]
        listening.cancel()


async def test_a_listener_that_is_stopped_wakes_all_subscribers(views: Views) -> None:
    listener, stop = Listener(service_dsn(views.dsn)), asyncio.Event()
    wake = listener.channel(WEBHOOKS).subscribe()
    listening = asyncio.create_task(listener.run_until(stop))
    async with asyncio.timeout(10):
        await wake.wait()
        wake.clear()
        stop.set()
        await wake.wait()
        await listening


async def test_a_listener_replaces_a_silent_connection(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "_PING_EVERY_S", 0.05)
    monkeypatch.setattr(notifications, "_PING_S", 0.1)
    monkeypatch.setattr(notifications, "_RECONNECT_S", 0.01)
    relay = Relay(service_dsn(database))
    relay.open()
    listener = Listener(relay.dsn)
    wake = listener.channel(NEW_EVENTS).subscribe()
    listening = asyncio.create_task(listener.run())
    async with asyncio.timeout(30):
        await wake.wait()  # it listens
        wake.clear()
        relay.silence()
        await wake.wait()  # it listens again
        wake.clear()
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as other:
            await other.execute("NOTIFY stored_events")
        await wake.wait()
    listening.cancel()
    relay.shut()
