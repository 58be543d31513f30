"""Who may come and go by IPv6: lists of ways out, rules of the firewall, sources of forwards."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from networks.host.spec import EgressSpec, InboundSpec, NamesSpec, NetworkSpec
from networks.host.zone_file import zone_file
from tests.netns import Namespace
from tests.networks.host.lab import Lab, with_forwards
from tests.networks.host.lab6 import OUTSIDE6, PUBLIC6, boot, connect6, forward6, network6, settled

BRIEF = 0.4
OTHER = "2001:db8::2"


def world(lab: Lab, spec: NetworkSpec) -> Namespace:
    """One guest of `spec`, and an internet with two addresses, all of them answering."""
    connect6(lab)
    lab.internet.ip(f"-6 address add {OTHER}/64 dev eth0 nodad preferred_lft 0")
    guest = lab.guest(spec.reservations[0], spec)
    for each in (guest, lab.internet):
        for port in (80, 443):
            each.tcp_server(port, "::")
    lab.apply(spec)
    boot(guest)
    assert settled(guest, spec.reservations[0])
    return guest


@pytest.mark.kernel
def test_a_routed_guest_is_reached_where_it_is_opened(lab: Lab) -> None:
    spec = network6(guests=1, ipv6="routed")
    web = InboundSpec(cidr="::/0", protocol="tcp", first_port=80, last_port=80)
    ping = InboundSpec(cidr=f"{OUTSIDE6}/128", protocol="icmp")
    world(lab, spec)
    address, internet = spec.reservations[0].address6, lab.internet
    assert internet.ask_tcp(address, 80, BRIEF) == ""
    lab.apply(replace(spec, generation=2, inbound=(web, ping)))
    assert internet.ask_tcp(address, 80)
    assert internet.pings(address)
    assert internet.ask_tcp(address, 443, BRIEF) == ""
    with internet.connect(address, 80) as connection:
        assert connection.recv(100)
        lab.apply(replace(spec, generation=3, inbound=(ping,)))
        connection.settimeout(BRIEF)
        connection.sendall(b"still")
        with pytest.raises(OSError, match="timed out"):
            connection.recv(100)


@pytest.mark.kernel
def test_a_network_that_lists_its_ways_goes_no_other(lab: Lab) -> None:
    spec = network6(guests=1)
    only = EgressSpec(cidr=f"{OUTSIDE6}/128", protocol="tcp", first_port=80, last_port=80)
    guest = world(lab, spec)
    assert guest.ask_tcp(OTHER, 80)
    lab.apply(replace(spec, generation=2, egress=(only,)))
    assert guest.ask_tcp(OUTSIDE6, 80)
    assert guest.ask_tcp(OUTSIDE6, 443, BRIEF) == ""
    assert guest.ask_tcp(OTHER, 80, BRIEF) == ""
    assert not guest.pings(OUTSIDE6, BRIEF)
    ping = EgressSpec(cidr="2001:db8::/32", protocol="icmp")
    lab.apply(replace(spec, generation=3, egress=(only, ping)))
    assert guest.pings(OUTSIDE6)


@pytest.mark.kernel
def test_a_forward_admits_the_sources_it_names(lab: Lab) -> None:
    spec = network6(guests=1)
    open_to_all = forward6(1, 1, spec.reservations[0])
    world(lab, with_forwards(spec, open_to_all))
    with lab.internet.connect(PUBLIC6, 9001) as connection:
        assert connection.recv(100)
        for source, admitted in ((f"{OUTSIDE6}/128", True), ("2001:db8::100/120", False)):
            narrowed = replace(open_to_all, sources=(source,))
            lab.apply(with_forwards(replace(spec, generation=spec.generation + 1), narrowed))
            assert bool(lab.internet.ask_tcp(PUBLIC6, 9001, BRIEF)) is admitted
            connection.settimeout(BRIEF)
            try:
                connection.sendall(b"still")
                answered = connection.recv(100) == b"still"
            except OSError:
                answered = False
            assert answered is admitted


@pytest.mark.pure
def test_names_lead_to_both_addresses() -> None:
    spec = replace(network6(guests=1), names=NamesSpec(domain="net1.internal"))
    zone = json.loads(zone_file(spec) or "")
    guest = spec.reservations[0]
    assert zone["names"] == {guest.hostname: [guest.address, guest.address6]}
    assert zone["subnets"] == [spec.subnet, spec.subnet6]
