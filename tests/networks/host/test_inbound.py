"""A guest that is reachable as a whole is closed but for what is opened: with packets."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from networks.host.spec import InboundSpec, NetworkSpec
from tests.netns import Namespace, ask
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, forward, network, with_forwards

pytestmark = pytest.mark.kernel

BRIEF = 0.4
ELSEWHERE = "198.51.100.77"
WHOLE = "198.51.100.12"
EVERYBODY = "0.0.0.0/0"


def tcp(first: int, last: int | None = None, cidr: str = EVERYBODY) -> InboundSpec:
    return InboundSpec(cidr=cidr, protocol="tcp", first_port=first, last_port=last or first)


class Site:
    """A routed network with two guests that answer TCP 80, 81 and 443 and UDP 7, and two callers
    outside who know the way to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.spec = replace(network(guests=2), mode="routed")
        self.guests = [lab.guest(each, self.spec) for each in self.spec.reservations]
        for guest in self.guests:
            for port in (80, 81, 443):
                guest.tcp_server(port)
            guest.udp_server(7)
        lab.internet.ip(f"address add {ELSEWHERE}/32 dev eth0")
        lab.internet.ip(f"route add {self.spec.subnet} via {PUBLIC}")
        self.first, self.second = (each.address for each in self.spec.reservations)

    def opened(self, *of_all: InboundSpec, of_first: tuple[InboundSpec, ...] = ()) -> NetworkSpec:
        first = replace(self.spec.reservations[0], inbound=of_first)
        return replace(self.spec, inbound=of_all, reservations=(first, *self.spec.reservations[1:]))

    def reaches(self, address: str, port: int, source: str = OUTSIDE) -> bool:
        with self.lab.internet.entered():
            caller = socket.socket()
        with caller:
            caller.settimeout(BRIEF)
            caller.bind((source, 0))
            try:
                caller.connect((address, port))
            except OSError:
                return False
            return True


@pytest.fixture
def site(lab: Lab) -> Site:
    return Site(lab)


def test_all_is_closed_until_something_is_opened(site: Site) -> None:
    internet: Namespace = site.lab.internet
    site.lab.apply(site.opened())
    assert not any(site.reaches(site.first, port) for port in (80, 443))
    assert not internet.pings(site.first)
    assert internet.ask_udp(site.first, 7, BRIEF) == ""
    internet.tcp_server(80)
    assert site.guests[0].ask_tcp(OUTSIDE, 80) == site.first, "its own connections are answered"
    assert site.guests[1].ask_tcp(site.first, 80) == site.second, "neighbours are not outside"


def test_what_is_opened_is_open_to_whom_and_where_it_says(site: Site) -> None:
    some = InboundSpec(cidr=f"{OUTSIDE}/32", protocol="udp", first_port=7, last_port=7)
    ping = InboundSpec(cidr=EVERYBODY, protocol="icmp")
    spec = site.opened(tcp(80, 81), some, ping, of_first=(tcp(443, cidr=f"{ELSEWHERE}/32"),))
    site.lab.apply(spec)
    assert all(site.reaches(site.first, port) for port in (80, 81))
    assert all(site.reaches(site.second, port) for port in (80, 81))
    assert site.reaches(site.first, 443, ELSEWHERE)
    assert not site.reaches(site.first, 443, OUTSIDE)
    assert not site.reaches(site.second, 443, ELSEWHERE)
    assert site.lab.internet.ask_udp(site.first, 7) == OUTSIDE
    assert site.lab.internet.pings(site.first)

    site.lab.apply(site.opened(InboundSpec(cidr=f"{ELSEWHERE}/32")))
    assert site.reaches(site.first, 443, ELSEWHERE)
    assert not site.reaches(site.first, 80, OUTSIDE)


def test_rules_that_overlap_are_all_kept(site: Site) -> None:
    """The kernel takes no two ranges that overlap in one set."""
    overlapping = (tcp(1, 100), tcp(80), tcp(50, 500, f"{ELSEWHERE}/32"))
    site.lab.apply(site.opened(*overlapping, of_first=(tcp(81), tcp(443, cidr="198.51.100.0/25"))))
    assert site.reaches(site.first, 80)
    assert site.reaches(site.first, 443)
    assert site.reaches(site.second, 443, ELSEWHERE)
    assert not site.reaches(site.second, 443, OUTSIDE)


def test_closing_ends_exactly_what_is_no_longer_open(site: Site) -> None:
    internet = site.lab.internet
    udp = InboundSpec(cidr=EVERYBODY, protocol="udp")
    site.lab.apply(site.opened(tcp(80, 81), udp))
    internet.tcp_server(80)
    kept, ended = internet.connect(site.first, 80), internet.connect(site.first, 81)
    out = site.guests[0].connect(OUTSIDE, 80)
    with kept, ended, out, internet.udp_socket() as datagrams:
        assert all(each.recv(100) for each in (kept, ended, out))
        assert ask(datagrams, site.first, 7) == OUTSIDE
        site.lab.apply(site.opened(tcp(80)))
        assert _echoes(kept)
        assert _echoes(out)
        assert not _echoes(ended)
        assert ask(datagrams, site.first, 7, BRIEF) == ""


def test_opening_more_ends_nothing(site: Site) -> None:
    site.lab.apply(site.opened(tcp(80)))
    with site.lab.internet.connect(site.first, 80) as open_one:
        assert open_one.recv(100)
        site.lab.apply(site.opened(tcp(80), tcp(443)))
        assert _echoes(open_one)
        assert site.reaches(site.first, 443)


def test_a_guest_with_a_whole_address_is_closed_but_for_what_is_opened(lab: Lab) -> None:
    """A forward of one of its ports needs no rule, before and after."""
    spec = network(guests=2)
    first, second = spec.reservations
    guest, sibling = lab.guest(first, spec), lab.guest(second, spec)
    for port in (80, 81):
        guest.tcp_server(port)
    lab.internet.tcp_server(80)
    lab.host.ip(f"address add {WHOLE}/24 dev up0")
    door = forward(1, 1, first, public_port=8080)
    whole = replace(door, id="whole", number=109, protocol="all", public_address=WHOLE)
    whole = replace(whole, public_port=0, port=0, source_nat=True)

    def opened(*rules: InboundSpec) -> NetworkSpec:
        return with_forwards(replace(spec, inbound=rules), whole, door)

    lab.apply(opened())
    internet = lab.internet
    assert internet.ask_tcp(WHOLE, 80, BRIEF) == sibling.ask_tcp(WHOLE, 80, BRIEF) == ""
    assert internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
    assert guest.ask_tcp(OUTSIDE, 80) == WHOLE
    lab.apply(opened(tcp(80, 81)))
    with internet.connect(WHOLE, 80) as kept, internet.connect(WHOLE, 81) as ended:
        assert kept.recv(100)
        assert ended.recv(100)
        assert sibling.ask_tcp(WHOLE, 80)
        lab.apply(opened(tcp(80)))
        assert _echoes(kept)
        assert not _echoes(ended)
    assert internet.ask_tcp(PUBLIC, 8080) == OUTSIDE


def _echoes(connection: socket.socket) -> bool:
    connection.settimeout(BRIEF * 2)
    try:
        connection.sendall(b"still there")
        return connection.recv(100) == b"still there"
    except OSError:
        return False
