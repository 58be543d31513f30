"""Real guests on a bridge of the host's owner and on an uplink by macvtap, seen from outside.

Their addresses come from outside too, by a DHCP server there.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kvmweb.host.progress import silent
from networks.host.reconcile import NetworkReconciler
from networks.host.spec import InboundSpec, NetworkSpec, ReservationSpec
from tests.libvirtd import LibvirtHost
from tests.netns import Namespace, eventually, veth
from tests.vms.host.test_reconcile import Vm, made
from vms.host.spec import NicSpec, SeedSpec

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(600)]

BRIDGE, UPLINK = "br-office", "up1"
GATEWAY = "198.51.100.1"
ADDRESSES = {"br-office": "198.51.100.50", "up1": "198.51.100.60"}
FEIGNED = "52:54:00:99:99:99"
SECONDS = 60.0


class Office:
    """The network outside, with a DHCP server; a bridge of the host and an uplink lead there."""

    def __init__(self, host: LibvirtHost, folder: Path) -> None:
        self.host = Namespace.of(host.netns)
        self.outside = Namespace("office")
        self.key = folder / "key"
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
        subprocess.run(make, check=True)
        self.outside.ip("link add lan type bridge forward_delay 0")
        self.outside.ip("link set lan up")
        self.outside.ip(f"address add {GATEWAY}/24 dev lan")
        self.host.ip(f"link add {BRIDGE} type bridge forward_delay 0")
        self.host.ip(f"link set {BRIDGE} up")
        for name in ("up0", UPLINK):
            veth(self.host, name, self.outside, name)
            self.outside.ip(f"link set {name} master lan")
        self.host.ip(f"link set up0 master {BRIDGE}")
        self.reconciler = NetworkReconciler(host.paths)

    def serve(self, macs: dict[str, str]) -> None:
        """DHCP for these MACs, at these addresses."""
        hosts = [f"--dhcp-host={mac},{address}" for mac, address in macs.items()]
        options = ("--conf-file=/dev/null", "--port=0", "--interface=lan", "--user=root")
        files = ("--leasefile-ro", "--pid-file=")
        range_ = f"--dhcp-range={GATEWAY},static"
        self.outside.start("dnsmasq", "--keep-in-foreground", *options, *files, range_, *hosts)

    def apply(self, spec: NetworkSpec) -> None:
        with self.host.entered():
            outcome = self.reconciler.apply(spec, silent)
            assert outcome.ok, outcome
            assert self.reconciler.check(spec) == ()

    def page_of(self, address: str, seconds: float = SECONDS) -> str:
        """What a guest says by HTTP; empty where it does not answer."""
        with suppress(OSError), self.outside.connect(address, 80, seconds) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.makefile().read()
        return ""

    def run(self, address: str, command: str) -> None:
        """Have a guest do something, as its root."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
        words = [word for option in options for word in ("-o", option)]
        ssh = ["ssh", *words, "-i", str(self.key), f"root@{address}", command]
        with self.outside.entered():
            subprocess.run(ssh, check=True, capture_output=True, timeout=SECONDS)

    def links(self) -> set[str]:
        return {each["ifname"] for each in self.host.ip("link show")}

    def close(self) -> None:
        self.reconciler.close()
        for name in (BRIDGE, "up0", UPLINK):
            self.host.run("ip", "link", "delete", name, check=False)
        self.outside.close()


@pytest.fixture
def office(host: LibvirtHost, tmp_path: Path) -> Iterator[Office]:
    with macvtaps(host):
        made = Office(host, tmp_path)
        yield made
        made.close()


@contextmanager
def macvtaps(host: LibvirtHost) -> Iterator[None]:
    """What udev does for libvirt: /dev/tapN is there once a macvtap has the number N.

    Numbers are of a network namespace, the kernel's /dev is one for all: one test at a time.
    """
    links = "for n in $(seq 1 500); do [ -e /dev/all/tap$n ] || echo all/tap$n; done"
    there = os.open("/dev", os.O_RDONLY)
    try:
        fcntl.flock(there, fcntl.LOCK_EX)
        host.run("mkdir", "-p", "/dev/all")
        host.run("mount", "-t", "devtmpfs", "devtmpfs", "/dev/all")
        host.run("sh", "-c", f"cd /dev && ln -sf $({links}) .")
        yield
    finally:
        os.close(there)


class Guest:
    """A VM whose only NIC is in a bridged network on `attach`."""

    def __init__(self, vm: Vm, office: Office, attach: str) -> None:
        self.vm, self.office, self.attach = vm, office, attach
        usual = vm.spec()
        nic = usual.nics[0]
        self.mac, self.port, self.address = nic.mac, nic.tap, ADDRESSES[attach]
        self.nic: NicSpec = replace(nic, bridge=attach)
        if attach == UPLINK:
            self.nic = replace(nic, bridge="", uplink=attach)
        key = office.key.with_suffix(".pub").read_text().strip()
        assert usual.seed is not None
        allow = f"#!/bin/sh\nmkdir -p /root/.ssh\necho {key} >/root/.ssh/authorized_keys\n"
        self.seed: SeedSpec = replace(usual.seed, user_data=allow)
        reservation = ReservationSpec(
            id=f"r-{attach}", mac=self.mac, address="", hostname="guest", port=self.port
        )
        self.network = NetworkSpec(
            subject=str(uuid.uuid4()),
            epoch=1,
            generation=1,
            mode="bridged",
            bridge="kw91" if attach == BRIDGE else "kw92",
            attach=attach,
            attached_to="bridge" if attach == BRIDGE else "uplink",
            guarded=attach == BRIDGE,
            reservations=(reservation,),
        )

    def must(self, power: str = "on") -> None:
        self.vm.must(nics=(self.nic,), seed=self.seed, power=power, force=power == "off")

    def wait(self) -> None:
        """Until it has started with the address from outside, and lets root in."""
        self.vm.wait_for_line("user-data ended with status 0", seconds=SECONDS)
        self.vm.wait_for_line(f"address={self.address} after", seconds=SECONDS)


@pytest.fixture
def guests(host: LibvirtHost, image: Path, office: Office) -> Iterator[tuple[Guest, Guest]]:
    with made(host, image) as first, made(host, image) as second:
        yield Guest(first, office, BRIDGE), Guest(second, office, UPLINK)


def opened(spec: NetworkSpec, *ports: int) -> NetworkSpec:
    rules = tuple(
        InboundSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=port, last_port=port)
        for port in ports
    )
    return replace(spec, generation=spec.generation + 1, inbound=rules)


def test_real_guests_are_reached_from_outside_by_addresses_from_outside(
    office: Office, guests: tuple[Guest, Guest]
) -> None:
    office.serve({each.mac: each.address for each in guests})
    before = office.links()
    for each in guests:
        office.apply(each.network)
        each.must()
    for each in guests:
        each.wait()
    inside, beside = guests
    _guarded(office, inside)
    _unguarded(office, beside)
    for each in guests:
        each.must(power="off")
    assert eventually(lambda: office.links() == before), "off they have neither tap nor macvtap"
    for each in guests:
        each.must()
    assert office.links() - before == {each.port for each in guests}
    for each in guests:
        each.vm.must(present=False)
        assert each.vm.leaves_nothing()
        office.apply(replace(each.network, generation=9, present=False, reservations=()))
        assert each.network.bridge not in str(office.host.nft("list ruleset"))
    assert eventually(lambda: office.links() == before)


def _guarded(office: Office, guest: Guest) -> None:
    """On a bridge what comes and goes passes us."""
    assert office.page_of(guest.address, 1.0) == ""
    office.apply(opened(guest.network, 22, 80))
    assert eventually(lambda: guest.address in office.page_of(guest.address), SECONDS)
    assert FEIGNED not in seen_while_feigning(office, guest)


def _unguarded(office: Office, guest: Guest) -> None:
    """By macvtap nothing does, which is said wherever somebody would rely on it."""
    assert eventually(lambda: guest.address in office.page_of(guest.address), SECONDS)
    assert FEIGNED in seen_while_feigning(office, guest)


def seen_while_feigning(office: Office, guest: Guest) -> set[str]:
    """The MACs of frames outside while the guest takes another one, sends, and takes its own."""
    feign, own = (f"ip link set eth0 address {mac}" for mac in (FEIGNED, guest.mac))
    ping = f"ping -c 1 -W 1 {GATEWAY}"
    with office.outside.packets("lan") as frames:
        office.run(guest.address, f"{feign}; {ping}; {own}; {ping} >/dev/null")
        frames.setblocking(False)
        seen = set()
        with suppress(BlockingIOError):
            while True:
                seen.add(frames.recv(2000)[6:12].hex(":"))
    assert guest.mac in seen
    return seen
