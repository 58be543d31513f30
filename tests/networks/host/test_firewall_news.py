"""A change of the firewall is heard of at once."""

from __future__ import annotations

import asyncio

import pytest

from networks.host.firewall_news import FirewallNews
from tests.netns import Namespace

pytestmark = pytest.mark.kernel


def test_a_change_by_anybody_is_heard() -> None:
    async def hear() -> bool:
        with machine.entered():
            news = FirewallNews()
        news.start()
        try:
            quiet = not news.changed.is_set()
            await asyncio.to_thread(machine.run, "iptables-nft", "-P", "FORWARD", "DROP")
            async with asyncio.timeout(10):
                await news.settled()
            return quiet and not news.changed.is_set()
        finally:
            news.close()

    with Namespace("news") as machine:
        assert asyncio.run(hear())
