"""What the benches of the data plane are made in: hosts with one guest each, by us or by others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from kvmweb.host.progress import silent
from networks.host.reconcile import NetworkReconciler
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec
from tests.netns import Namespace, veth
from tests.networks.host.lab import PUBLIC, Lab

PORT = 80
FIRST_PORT = 10_000
GUEST = "10.60.0.2"


@contextmanager
def lab() -> Iterator[Lab]:
    """A host with an uplink to an internet, and nothing on it yet."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
        folder.chmod(0o711)
        made = Lab(folder)
        stack.callback(made.close)
        made.internet.ip(f"route add 10.0.0.0/8 via {PUBLIC}")
        yield made


def network(number: int, forwards: int = 0, guests: int = 1) -> NetworkSpec:
    """Network `number` with its guests, and forwards of ports that no other network has."""
    subnet = f"10.{60 + number // 250}.{number % 250}"
    reservations = tuple(
        ReservationSpec(
            id=f"reservation-{number}-{guest}",
            mac=f"52:00:00:{number >> 8:02x}:{number & 255:02x}:{guest:02x}",
            address=f"{subnet}.{guest + 2}",
            hostname=f"guest-{number}-{guest}",
            port=f"kt{number}x{guest}",
        )
        for guest in range(guests)
    )
    return NetworkSpec(
        subject=f"00000000-0000-0000-0000-{number:012}",
        epoch=1,
        generation=1,
        name=f"net-{number}",
        bridge=f"kw{number}",
        bridge_mac=f"56:00:00:00:{number >> 8:02x}:{number & 255:02x}",
        subnet=f"{subnet}.0/24",
        gateway=f"{subnet}.1",
        source_address=PUBLIC,
        reservations=reservations,
        forwards=tuple(
            forward(number * forwards + at, reservations[at % guests]) for at in range(forwards)
        ),
    )


def forward(number: int, target: ReservationSpec, protocol: str = "tcp") -> ForwardSpec:
    """The forward of port FIRST_PORT + `number`."""
    return ForwardSpec(
        id=f"forward-{number}-{protocol}",
        number=number + 1 + (100_000 if protocol == "udp" else 0),
        protocol="udp" if protocol == "udp" else "tcp",
        public_address=PUBLIC,
        public_port=FIRST_PORT + number,
        address=target.address,
        port=PORT,
    )


def with_udp(spec: NetworkSpec) -> NetworkSpec:
    """The network with its first port forwarded for UDP too."""
    return replace(spec, forwards=(*spec.forwards, forward(0, spec.reservations[0], "udp")))


def applied(reconciler: NetworkReconciler, spec: NetworkSpec) -> None:
    """Apply it, all of it."""
    outcome = reconciler.apply(spec, silent)
    assert outcome.ok, outcome.message
    assert not outcome.attention, outcome.attention


def plain_router(world: Lab) -> Namespace:
    """The same host and guest without any rules: the kernel alone forwards."""
    host, guest = world.host, world.namespace("guest")
    host.ip("link add br0 type bridge stp_state 0 mcast_snooping 0")
    host.ip("address add 10.60.0.1/24 dev br0")
    host.ip("link set br0 up")
    veth(host, "port0", guest, "eth0")
    host.ip("link set port0 master br0")
    host.sysctl("ipv4/ip_forward", "1")
    host.sysctl("bridge/bridge-nf-call-iptables", "0")
    guest.ip(f"address add {GUEST}/24 dev eth0")
    guest.ip("route add default via 10.60.0.1")
    return guest
