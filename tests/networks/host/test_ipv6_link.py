"""What IPv6 guests cannot pretend on their link, and what a host keeps that listens to routers."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.netns import eventually, veth
from tests.networks.host.lab import Lab, assert_converges
from tests.networks.host.lab6 import (
    OUTSIDE6,
    PUBLIC6,
    boot,
    connect6,
    network6,
    settled,
)

pytestmark = pytest.mark.kernel

BRIEF = 0.4
UDP, ICMP, HOP_BY_HOP, FRAGMENT = 17, 58, 0, 44
ROUTER_SOLICIT, ROUTER_ADVERT, SOLICIT, ADVERT, REDIRECT = 133, 134, 135, 136, 137
ALL_NODES, GATEWAY = "ff02::1", "fe80::1"


def test_frames_that_are_not_the_guests_own_never_arrive(lab: Lab) -> None:
    """Honest frames are sent last and do arrive; none of those before them may."""
    spec = network6(guests=2)
    first, second = spec.reservations
    lab.apply(spec)
    sender, receiver = lab.cable(first), lab.cable(second)
    lab.apply(spec)
    mine, theirs, other = _mac(first.mac), _mac(second.mac), _mac("52:00:00:00:01:77")
    own, sibling = first.address6, second.address6
    link, sibling_link = _link(first.mac), _link(second.mac)
    router = struct.pack(">BBHII", 64, 0, 1800, 0, 0)

    def frame(source: str, kind: int, body: bytes, target: str = ALL_NODES) -> bytes:
        return _frame(mine, theirs, source, target, kind, body)

    def neighbour(source: str, kind: int, about: str) -> bytes:
        return frame(source, ICMP, _icmp(kind, bytes(4) + _packed(about)))

    spoofed = {
        "sibling's address": frame(sibling, UDP, _udp(), sibling),
        "any address": frame(f"{spec.subnet6.partition('::')[0]}::77", UDP, _udp(), sibling),
        "gateway's address": frame(spec.gateway6, UDP, _udp(), sibling),
        "gateway's address of the link": frame(GATEWAY, UDP, _udp(), sibling),
        "sibling's address of the link": frame(sibling_link, UDP, _udp(), sibling),
        "other MAC": _frame(other, theirs, own, sibling, UDP, _udp()),
        "router": frame(link, ICMP, _icmp(ROUTER_ADVERT, router)),
        "router behind a header": frame(
            link, HOP_BY_HOP, bytes([ICMP, 0, 1, 4, 0, 0, 0, 0]) + _icmp(ROUTER_ADVERT, router)
        ),
        "router in a fragment": frame(
            link, FRAGMENT, bytes([ICMP, 0, 0, 1, 0, 0, 0, 7]) + _icmp(ROUTER_ADVERT, router)
        ),
        "redirect": frame(link, ICMP, _icmp(REDIRECT, bytes(4) + _packed(own) * 2)),
        "DHCPv6 server": frame(link, UDP, _udp(547), sibling),
        "gateway, to neighbours": neighbour(own, ADVERT, GATEWAY),
        "sibling, to neighbours": neighbour(link, ADVERT, sibling),
        "taking the sibling's address": neighbour("::", SOLICIT, sibling),
        "taking the gateway's address": neighbour("::", SOLICIT, GATEWAY),
        "nobody's": frame("::", UDP, _udp()),
    }
    honest = {
        "asking for the sibling": neighbour(own, SOLICIT, sibling),
        "telling of itself": neighbour(link, ADVERT, own),
        "taking its own": neighbour("::", SOLICIT, own),
        "talking": frame(own, UDP, _udp(), sibling),
    }
    with sender.packets("eth0") as out, receiver.packets("eth0") as wire:
        for each in (*spoofed.values(), *honest.values()):
            out.send(each)
        seen = set()
        while (received := wire.recv(2000)) != honest["talking"]:
            seen.add(received)
    assert {name for name, each in spoofed.items() if each in seen} == set()
    assert {name for name, each in honest.items() if each not in seen} == {"talking"}


def test_a_guest_with_another_address_reaches_nobody_by_it(lab: Lab) -> None:
    connect6(lab)
    spec = network6(guests=1)
    guest = lab.guest(spec.reservations[0], spec)
    lab.internet.tcp_server(80, "::")
    lab.apply(spec)
    boot(guest)
    assert settled(guest, spec.reservations[0])
    other = f"{spec.subnet6.partition('::')[0]}::77"
    guest.ip(f"-6 address add {other}/64 dev eth0 nodad")
    with guest.entered():
        hidden = socket.socket(socket.AF_INET6)
    with hidden:
        hidden.bind((other, 0))
        hidden.settimeout(BRIEF)
        assert hidden.connect_ex((OUTSIDE6, 80)) != 0
    guest.ip(f"-6 address del {other}/64 dev eth0")
    assert guest.ask_tcp(OUTSIDE6, 80)


def test_a_host_that_learned_its_way_from_a_router_keeps_it(lab: Lab) -> None:
    """Forwarding would make it deaf, and forget what it had heard at that moment."""
    lab.host.sysctl("ipv6/conf/up0/accept_ra", "1")
    before = _settings(lab)
    _announce(lab)
    assert eventually(lambda: _learned(lab))
    spec = network6(guests=1)
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
        assert _learned(lab)
        assert _settings(lab) == {"all": "1", "up0": "1", "accept_ra": "2"}
        lab.host.ip("-6 route flush dev up0 proto ra")
        _announce(lab)
        assert eventually(lambda: _learned(lab))
        lab.host.sysctl("ipv6/conf/up0/accept_ra", "1")
        assert_converges(reconciler, spec)
        assert _settings(lab)["accept_ra"] == "2"
        reconciler.remove_all()
    assert _settings(lab) == before
    assert _learned(lab)


def test_the_host_is_no_ipv6_router_for_others(lab: Lab) -> None:
    connect6(lab)
    office = lab.namespace("office")
    veth(lab.host, "lan0", office, "eth0")
    lab.host.ip("-6 address add 2001:db8:7::1/64 dev lan0 nodad")
    office.ip("-6 address add 2001:db8:7::2/64 dev eth0 nodad")
    office.ip("-6 route add default via 2001:db8:7::1")
    lab.internet.ip(f"-6 route add 2001:db8:7::/64 via {PUBLIC6}")
    office.tcp_server(80, "::")
    lab.apply(network6(guests=1))
    assert lab.host.ask_tcp("2001:db8:7::2", 80)
    assert lab.internet.ask_tcp("2001:db8:7::2", 80, BRIEF) == ""
    with lab.reconciler() as reconciler:
        reconciler.remove_all()
    lab.host.sysctl("ipv6/conf/all/forwarding", "1")
    lab.apply(network6(guests=1))
    assert lab.internet.ask_tcp("2001:db8:7::2", 80) == OUTSIDE6


def _settings(lab: Lab) -> dict[str, str]:
    return {
        "all": lab.host.sysctl("ipv6/conf/all/forwarding"),
        "up0": lab.host.sysctl("ipv6/conf/up0/forwarding"),
        "accept_ra": lab.host.sysctl("ipv6/conf/up0/accept_ra"),
    }


def _learned(lab: Lab) -> bool:
    return bool(lab.host.ip("-6 route show default proto ra"))


def _announce(lab: Lab) -> None:
    """The internet says that it is a router (RFC 4861, section 4.2); the kernel does the sum."""

    def ready() -> bool:
        (link,) = lab.internet.ip("-6 address show dev eth0 scope link")
        return not link["addr_info"][0].get("tentative")

    assert eventually(ready)
    with lab.internet.entered():
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        index = socket.if_nametoindex("eth0")
    with raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        body = struct.pack(">BBHII", 64, 0, 1800, 0, 0)
        raw.sendto(_icmp(ROUTER_ADVERT, body), (ALL_NODES, 0, 0, index))


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _link(mac: str) -> str:
    octets = _mac(mac)
    made = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + made)


def _icmp(kind: int, body: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + body


def _udp(source_port: int = 4000) -> bytes:
    return struct.pack(">HHHH", source_port, 9, 8, 0)


def _frame(
    source_mac: bytes, target_mac: bytes, source: str, target: str, kind: int, body: bytes
) -> bytes:
    """A packet without checksum (RFC 8200), to one MAC whatever its target is."""
    head = struct.pack(">IHBB", 6 << 28, len(body), kind, 255)
    return target_mac + source_mac + b"\x86\xdd" + head + _packed(source) + _packed(target) + body
