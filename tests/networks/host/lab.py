"""A host with an uplink to the internet, its guests, and the reconciler that runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kvmweb.host.config import HostPaths
from kvmweb.host.progress import Outcome, Report, Step, silent
from networks.host.drivers import namespaces
from networks.host.drivers.routers import dhcp_of, namespace_of, routers
from networks.host.ops import Op
from networks.host.reconcile import NetworkReconciler
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec
from tests.netns import Namespace, veth

OUTSIDE = "198.51.100.1"
PUBLIC = "198.51.100.10"
KEY = "the key of the lab's host"
SECOND_PUBLIC = "198.51.100.11"


class Lab:
    """One host at 198.51.100.10 and .11, and the internet at 198.51.100.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.resolv = folder / "resolv.conf"
        self.resolv.write_text(f"nameserver 127.0.0.53\nnameserver {OUTSIDE}\n")
        self.paths = HostPaths.under(folder / "state", folder / "run")
        self.steps: list[Step] = []
        self._all: list[Namespace] = []
        self._reconcilers: list[NetworkReconciler] = []
        self.host = self.namespace("host")
        self.internet = self.namespace("net")
        veth(self.host, "up0", self.internet, "eth0")
        self.internet.ip(f"address add {OUTSIDE}/24 dev eth0")
        for address in (PUBLIC, SECOND_PUBLIC):
            self.host.ip(f"address add {address}/24 dev up0")
        self.host.ip(f"route add default via {OUTSIDE}")

    def namespace(self, label: str) -> Namespace:
        """One more namespace, removed with the lab."""
        made = Namespace(label)
        self._all.append(made)
        return made

    def guest(self, reservation: ReservationSpec, spec: NetworkSpec) -> Namespace:
        """A guest on the reservation's port, with its address and the way out set by hand."""
        made = self.cable(reservation)
        prefix = spec.subnet.partition("/")[2]
        made.ip(f"address add {reservation.address}/{prefix} dev eth0")
        made.ip(f"route add default via {spec.gateway}")
        return made

    def cable(self, reservation: ReservationSpec) -> Namespace:
        """A guest on the reservation's port that has no address yet."""
        made = self.namespace(reservation.hostname)
        veth(self.host, reservation.port, made, "eth0", reservation.mac)
        return made

    @contextmanager
    def reconciler(
        self,
        after_op: Callable[[Op], None] | None = None,
        uplinks: tuple[str, ...] = (),
    ) -> Iterator[NetworkReconciler]:
        """A network worker of the host, as after a start."""
        made = NetworkReconciler(
            self.paths,
            uplinks=uplinks,
            resolv_files=(self.resolv,),
            after_op=after_op,
            key=KEY,
        )
        with self.host.entered():
            made.forget("")
        try:
            yield made
        finally:
            made.close()

    def apply(self, spec: NetworkSpec) -> Outcome:
        """Apply by a worker of its own."""
        with self.reconciler() as reconciler:
            return assert_converges(reconciler, spec, self.steps.append)

    def close(self) -> None:
        for namespace in reversed(self._all):
            namespace.close()
        for bridge in routers(self.paths.routers):
            dhcp_of(self.paths.routers, bridge).stop()
            namespaces.remove(namespace_of(self.paths.routers, bridge))


def assert_converges(
    reconciler: NetworkReconciler,
    spec: NetworkSpec,
    report: Report = silent,
) -> Outcome:
    """Apply works, leaves nothing to do, and doing it again does nothing."""
    outcome = reconciler.apply(spec, report)
    assert outcome.ok, f"{outcome.code}: {outcome.message}"
    if not outcome.attention:
        assert reconciler.check(spec) == ()
    again: list[Step] = []
    assert reconciler.apply(spec, again.append).ok
    assert again == []
    return outcome


def reservation(network: int, number: int, hostname: str = "") -> ReservationSpec:
    return ReservationSpec(
        id=f"reservation-{network}-{number}",
        mac=f"52:00:00:00:0{network}:{number:02x}",
        address=f"10.6{network}.0.{number}",
        hostname=hostname or f"guest{network}{number}",
        port=f"kt{network}{number}",
    )


def forward(
    network: int,
    number: int,
    target: ReservationSpec,
    *,
    protocol: str = "tcp",
    public_port: int = 8080,
    port: int = 80,
) -> ForwardSpec:
    return ForwardSpec(
        id=f"forward-{network}-{number}",
        number=network * 100 + number,
        protocol="udp" if protocol == "udp" else "tcp",
        public_address=PUBLIC,
        public_port=public_port,
        address=target.address,
        port=port,
    )


def network(number: int = 1, guests: int = 2, source: str | None = SECOND_PUBLIC) -> NetworkSpec:
    """Network `number` is kw<number>, 10.6<number>.0.0/24, its guests begin at .2."""
    return NetworkSpec(
        subject=f"00000000-0000-0000-0000-00000000000{number}",
        epoch=1,
        generation=1,
        name=f"net{number}",
        bridge=f"kw{number}",
        bridge_mac=f"56:00:00:00:00:0{number}",
        subnet=f"10.6{number}.0.0/24",
        gateway=f"10.6{number}.0.1",
        source_address=source,
        reservations=tuple(reservation(number, guest + 2) for guest in range(guests)),
    )


def absent(spec: NetworkSpec) -> NetworkSpec:
    return replace(
        spec, generation=spec.generation + 1, present=False, reservations=(), forwards=()
    )


def with_forwards(spec: NetworkSpec, *forwards: ForwardSpec) -> NetworkSpec:
    return replace(spec, generation=spec.generation + 1, forwards=forwards)
