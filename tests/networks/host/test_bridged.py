"""Guests on a bridge of the host that is not ours: with packets."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest

from networks.host.drivers.attached import GONE
from networks.host.spec import InboundSpec, NetworkSpec
from tests.netns import Namespace, ask, eventually, veth
from tests.networks.host.lab import OUTSIDE, PUBLIC, SECOND_PUBLIC, Lab, absent, network
from tests.networks.host.lab6 import connect6, network6

pytestmark = pytest.mark.kernel

BRIEF = 0.4
FIRST, SECOND = "198.51.100.50", "198.51.100.51"
FIRST6, OUTSIDE6 = "fd00:6b77::50", "fd00:6b77::1"
EVERYBODY = ("0.0.0.0/0", "::/0")


class Site:
    """A host whose uplink is a bridge with its addresses, and two guests on that."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.host, self.internet = lab.host, lab.internet
        self.make_bridge()
        self.host.ip(f"route replace default via {OUTSIDE} dev br0")
        self.spec = bridged()
        self.guests = [lab.cable(each) for each in self.spec.reservations]
        for guest, address in zip(self.guests, (FIRST, SECOND), strict=True):
            guest.ip(f"address add {address}/24 dev eth0")
            guest.ip(f"route add default via {OUTSIDE}")
            for port in (80, 81):
                guest.tcp_server(port)
            guest.udp_server(7)
        for server in (self.internet.tcp_server, self.internet.udp_server):
            server(90)

    def make_bridge(self) -> None:
        self.host.ip("link add br0 type bridge forward_delay 0")
        self.host.ip("link set br0 up")
        self.host.ip("link set up0 master br0")
        for address in (PUBLIC, SECOND_PUBLIC):
            self.host.run("ip", "address", "del", f"{address}/24", "dev", "up0", check=False)
            self.host.ip(f"address add {address}/24 dev br0")

    def opened(self, *rules: InboundSpec) -> NetworkSpec:
        return replace(self.spec, inbound=rules)


def bridged() -> NetworkSpec:
    spec = replace(network(guests=2), mode="bridged", attach="br0", subnet="", gateway="")
    reservations = tuple(replace(each, address="") for each in spec.reservations)
    return replace(spec, source_address=None, reservations=reservations)


def rules(protocol: str, first: int = 0, last: int = 0) -> tuple[InboundSpec, ...]:
    return tuple(
        InboundSpec(
            cidr=cidr,
            protocol=protocol,  # type: ignore[arg-type]
            first_port=first,
            last_port=last or first,
        )
        for cidr in EVERYBODY
    )


@pytest.fixture
def site(lab: Lab) -> Site:
    return Site(lab)


def test_guests_are_on_the_hosts_bridge_and_closed_until_something_is_opened(site: Site) -> None:
    guest, sibling = site.guests
    site.lab.apply(site.opened())
    assert {each["ifname"] for each in site.host.ip("link show master br0")} == {
        *("up0", "kt12", "kt13")
    }
    assert guest.ask_tcp(OUTSIDE, 90) == FIRST, "outside it is seen by its own address"
    assert guest.ask_udp(OUTSIDE, 90) == FIRST, "the answer comes in"
    assert guest.pings(OUTSIDE)
    assert guest.ask_tcp(PUBLIC, 90, BRIEF) == ""
    assert site.internet.ask_tcp(FIRST, 80, BRIEF) == ""
    assert site.internet.ask_udp(FIRST, 7, BRIEF) == ""
    assert not site.internet.pings(FIRST, BRIEF)
    assert sibling.ask_tcp(FIRST, 80, BRIEF) == "", "its neighbour is outside too"

    site.lab.apply(site.opened(*rules("tcp", 80), *rules("udp", 7), *rules("icmp")))
    assert site.internet.ask_tcp(FIRST, 80) == OUTSIDE
    assert site.internet.ask_udp(FIRST, 7) == OUTSIDE
    assert site.internet.pings(FIRST)
    assert sibling.ask_tcp(FIRST, 80) == SECOND
    assert site.internet.ask_tcp(FIRST, 81, BRIEF) == ""

    site.lab.apply(replace(site.spec, guarded=False))
    assert site.internet.ask_tcp(FIRST, 81) == OUTSIDE


def test_closing_ends_exactly_what_was_let_in(site: Site) -> None:
    site.lab.apply(site.opened(*rules("tcp", 80, 81), *rules("udp", 7)))
    kept, ended = site.internet.connect(FIRST, 80), site.internet.connect(FIRST, 81)
    out = site.guests[0].connect(OUTSIDE, 90)
    with kept, ended, out, site.internet.udp_socket() as datagrams:
        assert all(each.recv(100) for each in (kept, ended, out))
        assert ask(datagrams, FIRST, 7) == OUTSIDE
        site.lab.apply(site.opened(*rules("tcp", 80)))
        assert _echoes(kept)
        assert _echoes(out)
        assert not _echoes(ended)
        assert ask(datagrams, FIRST, 7, BRIEF) == ""


def test_ipv6_is_judged_by_the_same_rules(site: Site) -> None:
    guest = site.guests[0]
    for each in (guest, site.internet):
        each.sysctl("ipv6/conf/eth0/disable_ipv6", "0")
    guest.ip(f"address add {FIRST6}/64 dev eth0 nodad")
    site.internet.ip(f"address add {OUTSIDE6}/64 dev eth0 nodad")
    guest.tcp_server(82, "::")
    for server in (site.internet.tcp_server, site.internet.udp_server):
        server(92, "::")
    site.lab.apply(site.opened())
    assert guest.ask_tcp(OUTSIDE6, 92) == FIRST6
    assert guest.ask_udp(OUTSIDE6, 92) == FIRST6
    assert site.internet.ask_tcp(FIRST6, 82, BRIEF) == ""
    site.lab.apply(site.opened(*rules("tcp", 82)))
    assert site.internet.ask_tcp(FIRST6, 82) == OUTSIDE6


def test_a_guest_cannot_use_another_mac_serve_dhcp_or_tag_its_frames(site: Site) -> None:
    guest = site.guests[0]
    site.lab.apply(replace(site.spec, guarded=False))
    assert guest.ask_udp(OUTSIDE, 90) == FIRST
    with guest.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind((FIRST, 67))
        site.internet.udp_server(68)
        assert ask(server, OUTSIDE, 68, BRIEF) == "", "it answers nobody's DHCP"
    assert guest.ask_udp(OUTSIDE, 68, BRIEF) == "", "from no other port either"

    own = guest.ip("link show eth0")[0]["address"]
    header = bytes.fromhex("ff" * 6 + own.replace(":", ""))
    with guest.packets("eth0") as sent, site.internet.packets("eth0") as seen:
        sent.send(header + bytes.fromhex("8100000788b5") + b"tagged".ljust(60))
        sent.send(header + bytes.fromhex("0806") + arp(own, FIRST))
        frames = iter(lambda: seen.recv(2000), None)
        first = next(each for each in frames if b"tagged" in each or arp(own, FIRST) in each)
        assert b"tagged" not in first

    _set_mac(guest, "52:00:00:00:99:99")
    assert guest.ask_tcp(OUTSIDE, 90, BRIEF) == ""
    _set_mac(guest, own)
    assert guest.ask_tcp(OUTSIDE, 90) == FIRST


def test_what_opens_a_connection_in_fragments_is_not_let_in(site: Site) -> None:
    """The first fragment ends before the flags of TCP, the second has them (RFC 1858, 3)."""
    guest = site.guests[0]
    site.host.sysctl("bridge/bridge-nf-call-iptables", "0")  # which would put them together
    mac = guest.ip("link show eth0")[0]["address"]
    frame = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("5200000000aa")
    begun = frame + b"\x08\x00" + first_fragment(OUTSIDE, FIRST, b"\x30\x39\x00\x50tiny")
    last = frame + b"\x08\x06" + arp("52:00:00:00:00:aa", OUTSIDE)
    for guarded in (True, False):
        site.lab.apply(replace(site.opened(*rules("tcp", 81)), guarded=guarded))
        with site.internet.packets("eth0") as sent, guest.packets("eth0") as seen:
            sent.send(begun)
            sent.send(last)
            frames = iter(lambda: seen.recv(2000), None)
            first = next(each for each in frames if b"tiny" in each or last[12:] in each)
            assert (b"tiny" in first) is not guarded


def test_speeds_and_apartness_hold_on_a_foreign_bridge_too(site: Site) -> None:
    first, second = (replace(each, max_up=1000) for each in site.spec.reservations)
    spec = replace(site.spec, guarded=False, reservations=(first, second), guests_apart=True)
    site.lab.apply(spec)
    assert site.guests[0].ask_tcp(OUTSIDE, 90) == FIRST
    assert site.guests[1].ask_tcp(FIRST, 80, BRIEF) == ""
    elements = site.host.nft("list set bridge kvmweb guest_up")
    assert "kt12" in str(elements)


def test_a_bridge_that_is_gone_is_told_once_and_its_guests_return_to_it(site: Site) -> None:
    with site.lab.reconciler() as reconciler:
        assert reconciler.apply(site.spec, site.lab.steps.append).ok
        assert reconciler.attachments() == {"br0"}
        site.host.ip("link delete br0")
        told = reconciler.repair({"br0"})
        assert [(drift.repaired, drift.only_told) for drift in told] == [(False, True)]
        assert "br0" in told[0].message
        refused = reconciler.apply(site.spec, site.lab.steps.append)
        assert (refused.ok, refused.code) == (False, GONE)
        assert "br0" in refused.remedy
        assert reconciler.apply(absent(site.spec), site.lab.steps.append).ok
        site.make_bridge()
        assert reconciler.apply(site.spec, site.lab.steps.append).ok
        site.host.ip("link delete br0")
        site.make_bridge()
        assert [drift.repaired for drift in reconciler.repair({"br0"})] == [True]
        assert reconciler.repair() == []
    assert site.guests[0].ask_tcp(OUTSIDE, 90) == FIRST


def test_an_interface_that_is_no_bridge_is_refused(lab: Lab) -> None:
    with lab.reconciler() as reconciler:
        spec = replace(bridged(), attach="up0")
        assert reconciler.apply(spec, lab.steps.append).code == GONE
        assert reconciler.apply(replace(spec, attach="kw7"), lab.steps.append).code == "bad_spec"
        assert reconciler.apply(replace(spec, attached_to="uplink"), lab.steps.append).ok


def test_nothing_of_a_bridged_network_is_left_behind(site: Site) -> None:
    site.lab.apply(site.opened(*rules("tcp", 80)))
    site.lab.apply(absent(site.spec))
    ruleset = str(site.host.nft("list ruleset"))
    assert "kt12" not in ruleset
    assert "kw1" not in ruleset
    links = {each["ifname"] for each in site.host.ip("link show")}
    assert "br0" in links
    assert "kw1" not in links


def test_other_networks_stand_beside_it(site: Site) -> None:
    """Forwarding on the uplink bridge is then ours, and closed to what is not for our networks;
    frames that are bridged are not."""
    other = network(2)
    site.lab.apply(site.opened())
    inside = site.lab.guest(other.reservations[0], other)
    site.lab.apply(other)
    assert inside.ask_tcp(OUTSIDE, 90) == SECOND_PUBLIC
    assert site.guests[0].ask_tcp(OUTSIDE, 90) == FIRST
    far = site.lab.namespace("far")
    veth(site.host, "far0", far, "eth0")
    site.host.ip("link set far0 master br0")
    far.ip("address add 198.51.100.60/24 dev eth0")
    assert far.ask_tcp(OUTSIDE, 90) == "198.51.100.60", "nor are those of others"


def test_guests_of_other_networks_come_by_the_host_and_are_outside_too(site: Site) -> None:
    """What the host passes on is closed, what it says itself is not."""
    other = network(2)
    site.lab.apply(site.opened(*rules("tcp", 80)))
    inside = site.lab.guest(other.reservations[0], other)
    site.lab.apply(other)
    assert site.host.ask_tcp(FIRST, 81) == PUBLIC
    assert site.host.ask_udp(FIRST, 7) == PUBLIC
    assert site.host.pings(FIRST)
    assert inside.ask_tcp(FIRST, 80) == SECOND_PUBLIC
    assert inside.ask_tcp(FIRST, 81, BRIEF) == ""
    assert inside.ask_udp(FIRST, 7, BRIEF) == ""
    assert not inside.pings(FIRST, BRIEF)
    site.lab.apply(site.opened(*rules("tcp", 80, 81), *rules("udp", 7), *rules("icmp")))
    assert inside.ask_tcp(FIRST, 81) == SECOND_PUBLIC
    assert inside.ask_udp(FIRST, 7) == SECOND_PUBLIC
    assert inside.pings(FIRST)


def test_bridges_of_others_keep_ipv6_though_it_is_forwarded_for_us_alone(lab: Lab) -> None:
    """Under br_netfilter their frames meet our IP rules, which drop IPv6 that is not ours."""
    lab.host.ip("link add br9 type bridge forward_delay 0")
    lab.host.ip("link set br9 up")
    ends = [lab.namespace(f"end{number}") for number in (1, 2)]
    for number, end in enumerate(ends, 1):
        veth(lab.host, f"end{number}", end, "eth0")
        lab.host.ip(f"link set end{number} master br9")
        end.ip(f"-6 address add fd00:6b77:9::{number}/64 dev eth0 nodad")
    connect6(lab)
    lab.apply(network6())
    assert lab.host.nft("list set inet kvmweb shut")[1]["set"].get("elem")
    assert lab.host.sysctl("bridge/bridge-nf-call-ip6tables") == "1"
    assert eventually(lambda: ends[0].pings("fd00:6b77:9::2"))


def first_fragment(source: str, target: str, content: bytes) -> bytes:
    """An IPv4 packet of TCP that another one completes (RFC 791, 3.1)."""
    size = struct.pack("!H", 20 + len(content))
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    header = b"\x45\x00" + size + b"\x00\x07\x20\x00\x40\x06\x00\x00" + ends
    total = sum(struct.unpack("!10H", header))
    checksum = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return header[:10] + checksum + header[12:] + content


def arp(mac: str, address: str) -> bytes:
    """A gratuitous request (RFC 826)."""
    own = bytes.fromhex(mac.replace(":", "")) + socket.inet_aton(address)
    return bytes.fromhex("0001080006040001") + own + bytes(6) + own[6:]


def _set_mac(guest: Namespace, mac: str) -> None:
    guest.ip("link set eth0 down")
    guest.ip(f"link set eth0 address {mac}")
    guest.ip("link set eth0 up")
    guest.run("ip", "route", "replace", "default", "via", OUTSIDE)


def _echoes(connection: socket.socket) -> bool:
    connection.settimeout(BRIEF * 2)
    try:
        connection.sendall(b"still there")
        return connection.recv(100) == b"still there"
    except OSError:
        return False
