"""The monitor's eyes: all domains of ours at a glance, and what happens to them as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kvmweb.core.errors import HostBusy
from tests.libvirtd import LibvirtHost, libvirt_host, restart_libvirtd
from tests.vms.host.test_reconcile import Vm
from tests.vms.host.vm_cases import image_of
from vms.host.drivers.domains import Domains
from vms.host.events import follow
from vms.host.observe import Observer, Seen

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(120)]

FOREIGN = """<domain type='qemu'><name>theirs</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64'>hvm</type></os></domain>"""


@pytest.fixture(scope="module")
def quiet_host() -> Iterator[LibvirtHost]:
    """A host of its own, whose libvirtd may be ended."""
    with libvirt_host() as host:
        host.add_bridge("kw1")
        yield host


@pytest.fixture
def guest(quiet_host: LibvirtHost, empty_image: Path) -> Iterator[Vm]:
    guest = Vm(quiet_host, image_of(empty_image), stop_seconds=1)
    yield guest
    guest.must(present=False)


def test_a_listing_has_all_of_ours_and_nothing_else(
    quiet_host: LibvirtHost, guest: Vm, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.xml"
    theirs.write_text(FOREIGN)
    guest.virsh("define", str(theirs))
    domains = Domains(quiet_host.uri)
    observer = Observer(domains)
    assert observer.all() == ()
    subject = guest.spec().subject
    guest.must()
    assert observer.all() == (Seen(subject=subject, state="running"),)
    guest.must(power="off", force=True)
    assert observer.all() == (Seen(subject=subject, state="off", reason="Forced off"),)
    guest.must()
    guest.must(power="saved")
    assert observer.all() == (Seen(subject=subject, state="saved"),)
    guest.must(present=False)
    assert observer.all() == ()
    domains.close()


def test_a_listing_of_a_libvirtd_that_is_away_says_so(tmp_path: Path) -> None:
    domains = Domains(f"qemu+unix:///system?socket={tmp_path}/none")
    with pytest.raises(HostBusy):
        Observer(domains).all()


@pytest.mark.asyncio
async def test_changes_are_told_and_a_lost_libvirtd_is_found_again(
    quiet_host: LibvirtHost, guest: Vm
) -> None:
    seen: asyncio.Queue[Seen] = asyncio.Queue()
    connections: asyncio.Queue[None] = asyncio.Queue()

    async def connected() -> None:
        connections.put_nowait(None)

    async def until(state: str) -> Seen:
        async with asyncio.timeout(30):
            while (change := await seen.get()).state != state:
                pass
        return change

    following = asyncio.create_task(follow(quiet_host.uri, seen.put, on_connected=connected))
    try:
        async with asyncio.timeout(30):
            await connections.get()
        await asyncio.to_thread(guest.must)
        assert (await until("running")).subject == guest.spec().subject
        await asyncio.to_thread(guest.must, power="off", force=True)
        assert (await until("off")).reason == "Forced off"

        await asyncio.to_thread(quiet_host.daemon.stop)
        await asyncio.to_thread(restart_libvirtd, quiet_host)
        async with asyncio.timeout(60):
            await connections.get()
        await asyncio.to_thread(guest.must)
        await until("running")
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
