"""What a guest and the world can and cannot do, with packets really sent."""

from __future__ import annotations

import select
import socket
import struct
from dataclasses import replace

import pytest

from networks.host.drivers import flows
from networks.host.spec import ForwardSpec, NetworkSpec
from tests.netns import ask, eventually, veth
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    SECOND_PUBLIC,
    Lab,
    absent,
    forward,
    network,
    with_forwards,
)

pytestmark = pytest.mark.kernel

BRIEF = 0.4
BROADCAST = b"\xff" * 6


class World:
    """Network 1 goes out as 198.51.100.11 and has guests a and b; network 2 masquerades, has c."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.one, self.two = network(1, guests=2), network(2, guests=1, source=None)
        first, second = self.one.reservations
        self.a, self.b = lab.guest(first, self.one), lab.guest(second, self.one)
        self.c = lab.guest(self.two.reservations[0], self.two)
        self.a_address, self.b_address = first.address, second.address
        self.c_address = self.two.reservations[0].address
        for guest in (self.a, self.b, self.c):
            guest.tcp_server(80)
            guest.udp_server(7)
        lab.internet.tcp_server(80)
        lab.internet.udp_server(7)
        self.apply(
            self.one,
            forward(1, 1, first, public_port=8080),
            forward(1, 2, first, protocol="udp", public_port=8007, port=7),
        )
        self.apply(self.two, forward(2, 1, self.two.reservations[0], public_port=8082))

    def apply(self, spec: NetworkSpec, *forwards: ForwardSpec) -> None:
        self.lab.apply(with_forwards(spec, *forwards))


@pytest.fixture
def world(lab: Lab) -> World:
    return World(lab)


def test_guests_reach_out_through_source_nat(world: World) -> None:
    assert world.a.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    assert world.a.ask_udp(OUTSIDE, 7) == SECOND_PUBLIC
    assert world.c.ask_tcp(OUTSIDE, 80) == PUBLIC
    assert world.c.ask_udp(OUTSIDE, 7) == PUBLIC


def test_forwards_work_from_everywhere(world: World) -> None:
    assert world.lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
    assert world.lab.internet.ask_udp(PUBLIC, 8007) == OUTSIDE
    assert world.lab.host.ask_tcp(PUBLIC, 8080) == PUBLIC
    assert world.lab.host.ask_udp(PUBLIC, 8007) == PUBLIC
    seen = {world.a: SECOND_PUBLIC, world.b: SECOND_PUBLIC, world.c: "10.61.0.1"}
    for guest, address in seen.items():
        assert guest.ask_tcp(PUBLIC, 8080) == address
        assert guest.ask_udp(PUBLIC, 8007) == address
    assert world.a.ask_tcp(PUBLIC, 8082) == SECOND_PUBLIC


def test_bridges_of_others_keep_their_filter_and_ours_works_beside_them(lab: Lab) -> None:
    lab.host.ip("link add docker0 type bridge")
    world = World(lab)
    assert lab.host.sysctl("bridge/bridge-nf-call-iptables") == "1"
    assert world.a.ask_tcp(world.b_address, 80) == world.a_address
    assert world.a.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
    assert world.b.ask_tcp(PUBLIC, 8080)
    assert world.c.ask_tcp(PUBLIC, 8080)
    assert world.a.ask_tcp(world.c_address, 80, BRIEF) == ""


def test_a_hairpin_makes_no_redirects(world: World) -> None:
    """It leaves by the bridge it came by; the kernel drops redirects of NAT (nf_nat_proto.c)."""
    with world.b.packets("eth0") as frames:
        for _ in range(3):
            assert world.b.ask_tcp(PUBLIC, 8080) == SECOND_PUBLIC
        assert world.b.pings("10.61.0.1")
        seen = []
        while not _is_icmp(frame := frames.recv(2000), 0):
            seen.append(frame)
    assert seen
    assert not any(_is_icmp(frame, 5) for frame in seen)


def test_nothing_else_reaches_in(world: World) -> None:
    internet = world.lab.internet
    internet.ip(f"route add 10.0.0.0/8 via {PUBLIC}")
    assert internet.ask_tcp(world.a_address, 80, BRIEF) == ""
    assert internet.ask_udp(world.a_address, 7, BRIEF) == ""
    assert internet.ask_tcp(PUBLIC, 80, BRIEF) == ""
    assert internet.ask_tcp(SECOND_PUBLIC, 8080, BRIEF) == ""
    assert internet.ask_tcp(PUBLIC, 8080) == OUTSIDE


def test_guests_of_one_network_reach_each_other(world: World) -> None:
    assert world.a.ask_tcp(world.b_address, 80) == world.a_address
    assert world.b.ask_udp(world.a_address, 7) == world.b_address


def test_a_guest_cannot_feign_to_serve_dhcp(world: World) -> None:
    """Clients take what comes to their port, whatever port it is from."""
    world.b.udp_server(68)
    assert world.a.ask_udp(world.b_address, 68, BRIEF) == ""


def test_networks_do_not_reach_each_other(world: World) -> None:
    assert world.a.ask_tcp(world.c_address, 80, BRIEF) == ""
    assert world.c.ask_tcp(world.a_address, 80, BRIEF) == ""
    assert world.a.ask_udp(world.c_address, 7, BRIEF) == ""
    assert world.c.ask_udp(world.a_address, 7, BRIEF) == ""
    assert world.lab.host.ask_tcp(world.c_address, 80)


def test_a_connection_from_before_a_network_does_not_reach_into_it(world: World) -> None:
    """It began when its destination was somewhere outside, and nobody answered it."""
    three = network(3, guests=1, source=None)
    target = three.reservations[0].address
    with world.a.udp_socket() as client:
        client.sendto(b"early", (target, 7))
        assert eventually(lambda: _began(world, target))
        guest = world.lab.guest(three.reservations[0], three)
        guest.udp_server(7)
        world.apply(three)
        assert world.lab.host.ask_udp(target, 7)
        assert _began(world, target)
        assert ask(client, target, 7, BRIEF) == ""


def _began(world: World, destination: str) -> bool:
    with world.lab.host.entered():
        found = {flow.destination for flow in flows.listed()}
    return socket.inet_aton(destination) in found


def test_a_guest_cannot_use_services_of_the_host(world: World) -> None:
    host = world.lab.host
    for port in (22, 53):
        host.tcp_server(port)
        host.udp_server(port)
    places = [
        (address, port)
        for address in ("10.61.0.1", "10.62.0.1", PUBLIC, SECOND_PUBLIC)
        for port in (22, 53)
    ]
    assert _reached(world, places) == set()
    assert world.a.ask_udp("10.61.0.1", 53, BRIEF) == ""
    assert world.a.ask_udp(PUBLIC, 53, BRIEF) == ""
    assert host.ask_tcp("10.61.0.1", 22)
    assert _reached(world, [(OUTSIDE, 80)]) == {(OUTSIDE, 80)}


def _reached(world: World, places: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """To which of these guest a can connect, all tried at once."""
    trials = {}
    with world.a.entered():
        for place in places:
            trial = socket.socket()
            trial.setblocking(False)
            trial.connect_ex(place)
            trials[trial] = place
    _, writable, _ = select.select([], list(trials), [], BRIEF)
    reached = {
        trials[trial]
        for trial in writable
        if trial.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    }
    for trial in trials:
        trial.close()
    return reached


def test_a_guest_can_ping_its_own_gateway_only(world: World) -> None:
    assert world.a.pings("10.61.0.1")
    assert not world.a.pings("10.62.0.1", BRIEF)
    assert not world.a.pings(PUBLIC, BRIEF)


def test_the_host_is_no_router_for_others(world: World) -> None:
    lab = world.lab
    office = lab.namespace("office")
    veth(lab.host, "lan0", office, "eth0")
    lab.host.ip("address add 192.168.7.1/24 dev lan0")
    office.ip("address add 192.168.7.2/24 dev eth0")
    office.ip("route add default via 192.168.7.1")
    office.tcp_server(80)
    lab.internet.ip(f"route add 192.168.7.0/24 via {PUBLIC}")
    with office.udp_socket() as receiver, lab.internet.udp_socket() as sender:
        receiver.bind(("", 9))
        receiver.settimeout(BRIEF)
        sender.sendto(b"in passing", ("192.168.7.2", 9))
        with pytest.raises(TimeoutError):
            receiver.recv(100)
    assert office.ask_tcp(OUTSIDE, 80, BRIEF) == ""
    assert lab.host.ask_tcp("192.168.7.2", 80) == "192.168.7.1"

    lab.host.sysctl("ipv4/ip_forward", "1")
    lab.apply(world.two)
    assert lab.internet.ask_tcp("192.168.7.2", 80) == OUTSIDE


def test_removing_a_forward_ends_its_connections(world: World) -> None:
    kept, removed = (
        world.lab.internet.connect(PUBLIC, 8082),
        world.lab.internet.connect(PUBLIC, 8080),
    )
    with kept, removed:
        assert kept.recv(100)
        assert removed.recv(100)
        world.apply(world.one)
        assert _echoes(kept)
        assert not _echoes(removed)
    assert world.lab.internet.ask_tcp(PUBLIC, 8080, BRIEF) == ""


def test_a_forward_that_moves_takes_its_clients_along(world: World) -> None:
    second = world.one.reservations[1]
    with world.lab.internet.udp_socket() as client:
        assert ask(client, PUBLIC, 8007) == OUTSIDE
        world.apply(world.one, forward(1, 2, second, protocol="udp", public_port=8007, port=7))
        world.a.close_servers()
        assert ask(client, PUBLIC, 8007) == OUTSIDE


def test_a_new_udp_forward_takes_clients_that_already_send(world: World) -> None:
    target = world.one.reservations[0]
    with world.lab.internet.udp_socket() as client:
        assert ask(client, PUBLIC, 8017, BRIEF) == ""
        world.apply(world.one, forward(1, 7, target, protocol="udp", public_port=8017, port=7))
        assert ask(client, PUBLIC, 8017) == OUTSIDE


def test_a_new_source_address_is_used_by_running_flows(world: World) -> None:
    with world.a.udp_socket() as client:
        assert ask(client, OUTSIDE, 7) == SECOND_PUBLIC
        world.apply(replace(world.one, source_address=PUBLIC))
        assert ask(client, OUTSIDE, 7) == PUBLIC


def test_an_isolated_network_has_no_way_out(world: World) -> None:
    with world.a.udp_socket() as client:
        assert ask(client, OUTSIDE, 7) == SECOND_PUBLIC
        isolated = replace(world.one, mode="isolated")
        world.apply(isolated, forward(1, 1, world.one.reservations[0], public_port=8080))
        assert ask(client, OUTSIDE, 7, BRIEF) == ""
    assert world.a.ask_tcp(PUBLIC, 8082, BRIEF) == ""
    assert world.a.ask_tcp(world.b_address, 80) == world.a_address
    assert world.lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE


def test_removing_a_network_ends_all_of_its_flows(world: World) -> None:
    assert world.a.ask_udp(OUTSIDE, 7)
    assert world.lab.internet.ask_udp(PUBLIC, 8007)
    world.lab.apply(absent(world.one))

    def of_network() -> list[flows.Flow]:
        with world.lab.host.entered():
            return [f for f in flows.listed() if b"\x0a\x3d\x00" in {f.source[:3], f.guest[:3]}]

    assert of_network() == []
    assert world.lab.internet.ask_tcp(PUBLIC, 8082) == OUTSIDE


def test_another_address_of_the_subnet_cannot_be_used(world: World) -> None:
    world.a.ip("address add 10.61.0.77/24 dev eth0")
    with world.a.udp_socket() as spoofed:
        spoofed.bind(("10.61.0.77", 0))
        assert ask(spoofed, OUTSIDE, 7, BRIEF) == ""
        assert ask(spoofed, world.b_address, 7, BRIEF) == ""
    assert world.a.ask_udp(OUTSIDE, 7) == SECOND_PUBLIC


def test_another_mac_cannot_be_used(world: World) -> None:
    assert world.a.ask_udp(OUTSIDE, 7) == SECOND_PUBLIC
    world.a.ip("link set eth0 address 52:00:00:00:01:99")
    assert world.a.ask_udp(OUTSIDE, 7, BRIEF) == ""
    world.a.ip(f"link set eth0 address {world.one.reservations[0].mac}")
    assert world.a.ask_udp(OUTSIDE, 7) == SECOND_PUBLIC


def test_frames_that_are_not_the_guests_own_never_arrive(world: World) -> None:
    """An honest frame is sent last and does arrive; none of those before it may."""
    mine, other = _mac(world.one.reservations[0].mac), _mac("52:00:00:00:01:77")
    theirs = _mac(world.one.reservations[1].mac)
    spoofed = {
        "gateway's address": _arp(mine, mine, "10.61.0.1"),
        "sibling's address": _arp(mine, mine, world.b_address),
        "no MAC in ARP": _arp(mine, BROADCAST, world.a_address),
        "other MAC in ARP": _arp(mine, other, world.a_address),
        "other MAC on the wire": _arp(other, mine, world.a_address),
        "other MAC in a probe": _arp(mine, other, "0.0.0.0", operation=1),  # noqa: S104
        "sibling's IPv4": _udp(mine, theirs, world.b_address, world.b_address),
        "any IPv4": _udp(mine, theirs, "10.61.0.77", world.b_address),
        "other MAC with IPv4": _udp(other, theirs, world.a_address, world.b_address),
        "IPv6": _ipv6(mine),
        "DHCP server": _udp(mine, theirs, world.a_address, world.b_address, source_port=67),
    }
    honest = _udp(mine, theirs, world.a_address, world.b_address)
    with world.a.packets("eth0") as sender, world.b.packets("eth0") as receiver:
        for frame in spoofed.values():
            sender.send(frame)
        sender.send(honest)
        seen = set()
        while (frame := receiver.recv(2000)) != honest:
            seen.add(frame)
    assert {name for name, frame in spoofed.items() if frame in seen} == set()


def test_counters_count_both_directions(world: World) -> None:
    assert world.lab.internet.ask_udp(PUBLIC, 8007) == OUTSIDE
    for name in ("acct_in", "acct_out"):
        assert _packets(world, name, 102) > 0


def _packets(world: World, name: str, number: int) -> int:
    found = world.lab.host.nft(f"list set inet kvmweb {name}")
    for entry in next(each["set"]["elem"] for each in found if "set" in each):
        if entry["elem"]["val"] == number:
            return int(entry["elem"]["counter"]["packets"])
    return 0


def _echoes(connection: socket.socket) -> bool:
    connection.settimeout(BRIEF * 2)
    try:
        connection.sendall(b"still there")
        return connection.recv(100) == b"still there"
    except OSError:
        return False


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _arp(source: bytes, claimed_mac: bytes, claimed: str, operation: int = 2) -> bytes:
    """A gratuitous ARP answer, or a probe (RFC 826)."""
    address = socket.inet_aton(claimed)
    head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation)
    return BROADCAST + source + b"\x08\x06" + head + claimed_mac + address + BROADCAST + address


def _udp(
    source_mac: bytes, target_mac: bytes, source: str, target: str, source_port: int = 4000
) -> bytes:
    """A datagram without checksum of its own (RFC 768), with the one of its IP header (RFC 791)."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0)
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    total = sum(struct.unpack(">10H", head + ends))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    ip = head[:10] + struct.pack(">H", checksum) + ends
    return target_mac + source_mac + b"\x08\x00" + ip + struct.pack(">HHHH", source_port, 9, 8, 0)


def _ipv6(source: bytes) -> bytes:
    """An empty packet to all nodes of the link (RFC 8200)."""
    link_local, all_nodes = b"\xfe\x80" + bytes(13) + b"\x09", b"\xff\x02" + bytes(13) + b"\x01"
    head = struct.pack(">IHBB", 6 << 28, 0, 59, 64)
    return b"\x33\x33\0\0\0\1" + source + b"\x86\xdd" + head + link_local + all_nodes


def _is_icmp(frame: bytes, kind: int) -> bool:
    return frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == kind
