"""Two hundred NAT networks, ours and libvirt's: made, held in memory, passed by a packet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measure import Figure, Goal
from tests.bench.nat import world
from tests.lab.host import LabHost
from tests.lab.lab import INTERNET
from tests.lab.lab import Lab as Hosts
from tests.netns import Namespace, veth
from tests.networks.host.lab import OUTSIDE, Lab
from tests.traffic import count_udp, send_udp

MANY = 200
LAST = 10
RUNS = 5
PACKETS = 50_000
PORT = 80
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
# Of the kernel's own memory; of /proc/meminfo, in kB.
KERNEL = ("SUnreclaim", "Percpu", "KernelStack", "PageTables")
CALM_KIB = 512


def figures() -> Iterator[Figure]:
    """Ours first and as the machine is; libvirt stops at the 125th unless it is set otherwise."""
    with world.lab() as lab:
        before = _memory(lab.host)
        ours = _ours(lab)
        held = _memory(lab.host) - before
        guest = _asks_for_address(lab, MANY // 2)
        with Hosts() as hosts, _more_watches():
            host = hosts.h1
            before = _memory(host.namespace)
            theirs = [_define(host, number) for number in range(MANY)]
            theirs_hold = _memory(host.namespace) - before
            yield Figure(
                group="nat",
                name=f"one more NAT network with DHCP, {MANY} there; virsh net-create",
                unit="ms",
                ours=ours[-LAST:],
                alternative=theirs[-LAST:],
                goal=Goal(kind="ratio", limit=1 / 25),
            )
            yield Figure(
                group="nat",
                name=f"one more NAT network, {MANY} there; the first ten",
                unit="ms",
                ours=ours[-LAST:],
                alternative=ours[1 : LAST + 1],
            )
            yield Figure(
                group="nat",
                name="memory of a NAT network; libvirt's",
                unit="KiB",
                ours=[held / MANY],
                alternative=[theirs_hold / MANY],
                goal=Goal(kind="ratio", limit=1 / 8),
            )
            yield _packets(lab, guest, host, hosts.internet)


def _ours(lab: Lab) -> list[float]:
    taken = []
    with lab.reconciler() as reconciler:
        for number in range(MANY):
            spec = world.network(number)
            begun = time.perf_counter()
            world.applied(reconciler, spec)
            taken.append((time.perf_counter() - begun) * 1000)
    return taken


def _asks_for_address(lab: Lab, number: int) -> Namespace:
    """A guest of this network that got its address by DHCP; so did one of the first and last."""
    for each in (0, MANY - 1):
        _leased(lab, each)
    return _leased(lab, number)


def _leased(lab: Lab, number: int) -> Namespace:
    spec = world.network(number)
    reservation = spec.reservations[0]
    guest = lab.cable(reservation)
    with lab.reconciler() as reconciler:
        world.applied(reconciler, spec)
    words = "busybox udhcpc -i eth0 -n -q -f -t 5 -s /bin/true 2>&1"
    said = guest.run("sh", "-c", words)
    assert reservation.address in said
    guest.ip(f"address add {reservation.address}/24 dev eth0")
    guest.ip(f"route add default via {spec.gateway}")
    return guest


def _define(host: LabHost, number: int) -> float:
    """Milliseconds of `virsh net-create`."""
    subnet = f"10.{60 + number // 250}.{number % 250}"
    file = host.folder / "network.xml"
    file.write_text(
        f"<network><name>net-{number}</name><forward mode='nat'/><bridge name='vb{number}'/>"
        f"<ip address='{subnet}.1' netmask='255.255.255.0'>"
        f"<dhcp><range start='{subnet}.2' end='{subnet}.254'/></dhcp></ip></network>"
    )
    begun = time.perf_counter()
    host.run("virsh", "-c", host.libvirt_uri, "net-create", str(file))
    return (time.perf_counter() - begun) * 1000


def _packets(lab: Lab, guest: Namespace, host: LabHost, internet: Namespace) -> Figure:
    """Out of a guest of the middle network."""
    number = MANY // 2
    with Namespace("guest") as other:
        veth(host.namespace, "port", other, "eth0")
        host.namespace.ip(f"link set port master vb{number}")
        subnet = f"10.{60 + number // 250}.{number % 250}"
        other.ip(f"address add {subnet}.2/24 dev eth0")
        other.ip(f"route add default via {subnet}.1")
        counters = [count_udp(lab.internet, PORT), count_udp(internet, PORT)]
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(RUNS):
            ours.append(send_udp(guest, OUTSIDE, PORT, PACKETS).cost)
            theirs.append(send_udp(other, INTERNET, PORT, PACKETS).cost)
        assert all(counter.received() for counter in counters)
    return Figure(
        group="nat",
        name=f"CPU per small packet out, {MANY} networks; libvirt's own rules for {MANY}",
        unit="µs",
        ours=ours,
        alternative=theirs,
        goal=Goal(kind="ratio", limit=1 / 4),
    )


@contextmanager
def _more_watches() -> Iterator[None]:
    before = INSTANCES.read_text()
    INSTANCES.write_text("2048")
    try:
        yield
    finally:
        INSTANCES.write_text(before)


def _memory(host: Namespace) -> int:
    """KiB of the processes inside, as their share (PSS), and of the kernel."""
    return sum(map(_pss, host.pids())) + _calm_kernel()


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _calm_kernel() -> int:
    """Once nothing moves any more: what namespaces held is given back long after they ended."""
    last, now = _kernel(), -CALM_KIB
    while abs(now - last) > CALM_KIB:
        time.sleep(2)
        last, now = now, _kernel()
    return now


def _kernel() -> int:
    lines = (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(value.split()[0]) for name, _, value in lines if name in KERNEL)
