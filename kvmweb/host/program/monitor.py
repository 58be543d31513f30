"""`python -m kvmweb.host monitor`: tells the panel what libvirt sees and what the host is like,
and answers what the panel asks at once (`kvmweb.host.answering`).

Nothing it waits for keeps the heartbeat back: libvirt is asked in a thread of its own and messages
are sent in another. A hung libvirtd shows as `libvirt_version` None, an absent broker as silence.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from kvmweb.core.errors import KvmwebError
from kvmweb.host.answering import answer_questions
from kvmweb.host.app import make_app
from kvmweb.host.config import HostConfig
from kvmweb.host.facts import Hypervisor, gather, version_text
from kvmweb.host.post import (
    HEARTBEAT,
    LEASED,
    MEASURED,
    OBSERVED,
    PICTURED,
    USED,
    BrokerAway,
    Post,
    Send,
)
from kvmweb.host.program.accelerator import accelerator
from kvmweb.host.program.meter import Meter, slot_before, until_next
from kvmweb.host.program.questions import answers
from kvmweb.host.program.surroundings import surroundings
from kvmweb.host.pulse import BEAT, heartbeat
from networks.host import leases
from networks.host.drivers.haproxy import proxy_of
from networks.host.findings import Finding
from networks.host.firewall_news import FirewallNews
from networks.host.survey import found
from networks.host.usage import ROUND, Usage
from vms.host import foreign_networks
from vms.host.console.desk import Desk
from vms.host.console.picture import Pictures
from vms.host.drivers.domains import Domains
from vms.host.events import follow
from vms.host.observe import Observer, Seen

log = logging.getLogger(__name__)

T = TypeVar("T")

LIST_AGAIN = 60.0
TRY_AGAIN = 600.0
ANSWER = 5.0
ENDED = frozenset({"off", "crashed", "saved"})
_NEVER = 1e6


def run(config: HostConfig) -> int:
    """Watch until told to end."""
    return asyncio.run(_watch(config))


async def _watch(config: HostConfig) -> int:
    # At once: there is nothing to save, and a thread that hangs in libvirt cannot be joined.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, os._exit, 0)
    monitor, desk = Monitor(config, Post(make_app(config), config)), Desk(config)

    async def tell(seen: Seen) -> None:
        if seen.state in ENDED:
            await desk.guest_ended(seen.subject)
        await monitor.tell(seen)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(config.libvirt_uri, tell, on_connected=monitor.list_all))
        tasks.create_task(_repeat(BEAT, monitor.beat))
        tasks.create_task(_repeat(LIST_AGAIN, monitor.list_all))
        tasks.create_task(_repeat(TRY_AGAIN, monitor.find_accelerator))
        pictures = Pictures(config.libvirt_uri, monitor.send_picture)
        questions = {**answers(config), "console": desk.answer, "picture": pictures.answer}
        tasks.create_task(answer_questions(config, questions))
        tasks.create_task(_repeat(ROUND, monitor.count))
        tasks.create_task(monitor.follow_firewall())
        tasks.create_task(monitor.measure())
        tasks.create_task(_repeat(leases.ROUND, monitor.list_leases))
    return 0


async def _repeat(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await action()
        await asyncio.sleep(seconds)


class Monitor:
    """Everything the monitor says. `send` is only called in a thread of its own."""

    def __init__(self, config: HostConfig, send: Send) -> None:
        self._config = config
        self._send = send
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="send")
        self._libvirt = ThreadPoolExecutor(1, thread_name_prefix="libvirt")
        self._domains = Domains(config.libvirt_uri, call_seconds=_NEVER)
        self._observer = Observer(self._domains)
        self._leases = leases.Leases(config.paths.run / "dnsmasq" / "leases", config.paths.routers)
        self._usage = Usage(proxy_of(config.paths))
        self._asked: asyncio.Future[Any] | None = None
        self._turn = asyncio.Lock()
        self._hypervisor = Hypervisor()
        self._missed = False

    async def tell(self, seen: Seen) -> None:
        """One VM changed."""
        await self._post(OBSERVED, lambda: _observed([seen], complete=False))

    async def list_all(self) -> None:
        """What all VMs are like; nothing is said while libvirt does not answer."""
        if (seen := await self._ask(self._observer.all)) is not None:
            await self._post(OBSERVED, lambda: _observed(seen, complete=True))

    async def beat(self) -> None:
        """Say that we live and what the host is like; after the broker's silence also all VMs."""
        await self._look_at_libvirt()
        config, hypervisor = self._config, self._hypervisor
        sent = await self._post(
            HEARTBEAT,
            lambda: heartbeat("monitor", gather(config, hypervisor, surroundings(config))),
        )
        if sent and self._missed:
            self._missed = False
            await self.list_all()

    async def find_accelerator(self) -> None:
        """Find out what guests run under, which may take a trial of several seconds."""
        found = await asyncio.to_thread(accelerator, self._config)
        self._hypervisor = replace(
            self._hypervisor, accelerator=found.accelerator, accelerator_reason=found.reason
        )

    async def measure(self) -> None:
        """Measure at every multiple of ten seconds, and send some rounds together."""
        meter = Meter(self._config.libvirt_uri)
        thread = ThreadPoolExecutor(1, thread_name_prefix="meter")
        while True:
            await asyncio.sleep(until_next(time.time()))
            slot = slot_before(time.time())
            await asyncio.get_running_loop().run_in_executor(thread, meter.look, slot)
            if meter.is_due(slot) and await self._post(MEASURED, meter.waiting):
                meter.sent()

    async def follow_firewall(self) -> None:
        """Look at what is in the way of networks whenever the firewall changes, and tell at once
        when that is something else."""
        news = FirewallNews()
        news.start()
        known: tuple[Finding, ...] = ()
        while True:
            await news.settled()
            now = await asyncio.to_thread(self._found)
            if now != known:
                known = now
                await self.beat()

    def _found(self) -> tuple[Finding, ...]:
        try:
            return found(self._config.paths, self._config.uplinks)
        except (KvmwebError, OSError) as error:
            log.warning("not_surveyed reason=%s", error)
            return ()

    async def count(self) -> None:
        """Say what forwards and networks have carried since it was last said."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._sender, self._tell_usage)
        except BrokerAway as error:
            log.warning("message_not_sent task=%s reason=%s", USED, error)
        except KvmwebError as error:
            log.warning("usage_not_read reason=%s", error.message)

    def send_picture(self, payload: dict[str, Any]) -> None:
        """Called in any thread."""
        self._sender.submit(self._send_picture, payload)

    def _send_picture(self, payload: dict[str, Any]) -> None:
        try:
            self._send(PICTURED, payload)
        except BrokerAway as error:
            log.warning("message_not_sent task=%s reason=%s", PICTURED, error)

    async def list_leases(self) -> None:
        """Say which addresses guests hold by DHCP since it was last said."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._sender, self._tell_leases)
        except BrokerAway as error:
            log.warning("message_not_sent task=%s reason=%s", LEASED, error)

    def _tell_leases(self) -> None:
        for payload in self._leases.news():
            self._send(LEASED, payload)

    def _tell_usage(self) -> None:
        for payload in self._usage.news():
            self._send(USED, payload)

    async def _look_at_libvirt(self) -> None:
        libvirt, qemu = await self._ask(self._domains.versions) or (None, None)
        networks = await self._ask(lambda: foreign_networks.defined(self._domains))
        self._hypervisor = replace(
            self._hypervisor,
            libvirt_version=version_text(libvirt) if libvirt else None,
            qemu_version=version_text(qemu) if qemu else self._hypervisor.qemu_version,
            networks=self._hypervisor.networks if networks is None else networks,
        )

    async def _ask(self, question: Callable[[], T]) -> T | None:
        """libvirt's answer; None while it is away, or still has not answered an earlier one."""
        async with self._turn:
            if self._asked is None or self._asked.done():
                loop = asyncio.get_running_loop()
                self._asked = asked = loop.run_in_executor(self._libvirt, question)
                await asyncio.wait({asked}, timeout=ANSWER)
                return _answer(asked)
        return None

    async def _post(self, task: str, payload: Callable[[], dict[str, Any]]) -> bool:
        """Send what `payload` makes, both in the sender's thread; False when the broker is away."""
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._sender, lambda: self._send(task, payload())
            )
        except BrokerAway as error:
            log.warning("message_not_sent task=%s reason=%s", task, error)
            self._missed = True
            return False
        return True


def _answer(asked: asyncio.Future[T]) -> T | None:
    if not asked.done():
        return None
    try:
        return asked.result()
    except KvmwebError as error:
        log.warning("libvirt_away reason=%s", error.message)
        return None


def _observed(vms: Iterable[Seen], *, complete: bool) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"at": at, "complete": complete, "vms": msgspec.to_builtins(list(vms))}
