"""Who may use a forward, how often and how much at once, with packets really sent."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from networks.host.spec import ForwardSpec
from tests.netns import DEADLINE
from tests.networks.host.lab import OUTSIDE, PUBLIC, SECOND_PUBLIC, Lab, forward, network
from tests.networks.host.lab import with_forwards as having
from tests.networks.host.test_crash import killed

pytestmark = pytest.mark.kernel

BRIEF = 0.4
FRIEND, STRANGER = "198.51.100.70", "198.51.100.200"


class World:
    """One network that goes out as 198.51.100.11, with guests a and b, and one that masquerades,
    with guest c; callers outside at .1, .70 and .200."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.one, self.two = network(1, guests=2), network(2, guests=1, source=None)
        self.target = self.one.reservations[0]
        self.a = lab.guest(self.target, self.one)
        self.b = lab.guest(self.one.reservations[1], self.one)
        self.c = lab.guest(self.two.reservations[0], self.two)
        for address in (FRIEND, STRANGER):
            lab.internet.ip(f"address add {address}/24 dev eth0")
        self.a.tcp_server(80)
        self.a.udp_server(7)
        self.ssh = forward(1, 1, self.target, public_port=8080)
        self.lab.apply(self.two)
        self.apply(self.ssh)

    def apply(self, *forwards: ForwardSpec) -> None:
        self.lab.apply(having(self.one, *forwards))

    def connect(self, source: str, port: int = 8080, timeout: float = DEADLINE) -> socket.socket:
        """A connection from one of the addresses outside, that has been answered."""
        with self.lab.internet.entered():
            made = socket.create_connection((PUBLIC, port), timeout, source_address=(source, 0))
        assert made.recv(100).decode() == source
        return made

    def reaches(self, source: str) -> bool:
        try:
            self.connect(source, timeout=BRIEF).close()
        except OSError:
            return False
        return True


@pytest.fixture
def world(lab: Lab) -> World:
    return World(lab)


def test_only_allowed_sources_reach_in(world: World) -> None:
    for sources, allowed in (
        ((f"{FRIEND}/32",), {FRIEND}),
        (("198.51.100.64/26",), {FRIEND}),
        (("198.51.100.0/25",), {FRIEND, OUTSIDE}),
        (("128.0.0.0/1",), {FRIEND, OUTSIDE, STRANGER}),
        (("10.9.0.0/16", f"{STRANGER}/32"), {STRANGER}),
        ((), {FRIEND, OUTSIDE, STRANGER}),
    ):
        world.apply(replace(world.ssh, sources=sources))
        found = {source for source in (FRIEND, OUTSIDE, STRANGER) if world.reaches(source)}
        assert found == allowed, sources


def test_the_host_and_guests_behind_an_allowed_address_reach_in(world: World) -> None:
    world.apply(replace(world.ssh, sources=(f"{SECOND_PUBLIC}/32",)))
    assert world.b.ask_tcp(PUBLIC, 8080) == SECOND_PUBLIC
    assert world.a.ask_tcp(PUBLIC, 8080) == SECOND_PUBLIC
    assert world.lab.host.ask_tcp(PUBLIC, 8080) == PUBLIC
    assert world.c.ask_tcp(PUBLIC, 8080, BRIEF) == ""
    world.apply(replace(world.ssh, sources=(f"{FRIEND}/32",)))
    assert world.b.ask_tcp(PUBLIC, 8080, BRIEF) == ""
    assert world.lab.host.ask_tcp(PUBLIC, 8080) == PUBLIC


def test_narrowing_ends_connections_from_elsewhere_and_no_other(world: World) -> None:
    udp = forward(1, 2, world.target, protocol="udp", public_port=8007, port=7)
    with (
        world.connect(FRIEND) as friend,
        world.connect(STRANGER) as stranger,
        world.lab.host.connect(PUBLIC, 8080) as own,
    ):
        assert own.recv(100)
        world.apply(replace(world.ssh, sources=("198.51.100.64/26", f"{STRANGER}/32")), udp)
        assert echoes(friend)
        assert echoes(stranger)
        world.apply(replace(world.ssh, sources=("198.51.100.64/26",)), udp)
        assert echoes(friend)
        assert not echoes(stranger)
        assert echoes(own)


def test_narrowing_ends_connections_though_the_worker_died(world: World) -> None:
    """Killed between the change of the sources and the end of the connections."""
    narrowed = having(world.one, replace(world.ssh, sources=(f"{FRIEND}/32",)))
    with world.connect(FRIEND) as friend, world.connect(STRANGER) as stranger:
        assert killed(world.lab, narrowed, 1)
        assert echoes(stranger)
        world.lab.apply(narrowed)
        assert echoes(friend)
        assert not echoes(stranger)


def test_no_more_connections_at_once_than_allowed(world: World) -> None:
    world.apply(replace(world.ssh, connections=2))
    first, second = world.connect(FRIEND), world.connect(STRANGER)
    with first, second:
        with pytest.raises(OSError, match=r"refused|unreachable|No route|denied"):
            world.connect(FRIEND)
        assert echoes(first)
        assert echoes(second)
        world.apply(replace(world.ssh, connections=1))
        assert echoes(first)
        assert echoes(second)


def test_no_more_new_connections_a_second_than_allowed(world: World) -> None:
    """Of a burst of ten that is refilled once a second, hardly more than ten get through."""
    world.apply(replace(world.ssh, rate=1, burst=10))
    opened = []
    with world.lab.internet.entered():
        for _ in range(40):
            trial = socket.socket()
            trial.setblocking(False)
            trial.connect_ex((PUBLIC, 8080))
            opened.append(trial)
    accepted = sum(_answered(trial) for trial in opened)
    for trial in opened:
        trial.close()
    assert 10 <= accepted < 30
    world.apply(world.ssh)
    assert world.reaches(FRIEND)


def test_packets_of_one_connection_are_no_new_ones(world: World) -> None:
    """Nobody answers, and all that is sent arrives."""
    udp = forward(1, 2, world.target, protocol="udp", public_port=8009, port=9)
    world.apply(replace(udp, rate=1, burst=1))
    with world.a.entered():
        guest = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with guest, world.lab.internet.udp_socket() as client:
        guest.bind(("", 9))
        guest.settimeout(DEADLINE)
        for number in range(30):
            client.sendto(b"%d" % number, (PUBLIC, 8009))
            assert guest.recv(100) == b"%d" % number


def test_the_kernel_holds_what_was_asked_for(world: World) -> None:
    world.apply(replace(world.ssh, rate=20, burst=50, connections=7))
    assert _element(world, "max_conn") == {"ct count": {"val": 7, "inv": True}}
    limit = {"rate": 20, "burst": 50, "per": "second", "inv": True}
    assert _element(world, "max_rate") == {"limit": limit}
    world.apply(world.ssh)
    assert _element(world, "max_conn") is None
    assert _element(world, "max_rate") is None


def echoes(connection: socket.socket) -> bool:
    connection.settimeout(BRIEF * 2)
    try:
        connection.sendall(b"still there")
        return connection.recv(100) == b"still there"
    except OSError:
        return False


def _answered(trial: socket.socket) -> bool:
    trial.settimeout(BRIEF / 4)
    try:
        return bool(trial.recv(100))
    except OSError:
        return False


def _element(world: World, name: str) -> object:
    found = world.lab.host.nft(f"list set inet kvmweb {name}")
    for each in next(part["set"].get("elem", []) for part in found if "set" in part):
        if each["elem"]["val"] == world.ssh.number:
            return {k: v for k, v in each["elem"].items() if k not in {"val", "comment"}}
    return None
