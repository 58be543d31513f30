"""What the firewall refuses is noted, for whom it concerns and without end: with packets."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest

from kvmweb.host.config import HostConfig
from kvmweb.host.program.questions import answers
from networks.host import refused
from networks.host.noting import NOTES
from networks.host.refused import Refusals, RefusedScope, ShownRefusal
from networks.host.spec import EgressSpec, InboundSpec, NetworkSpec
from networks.host.tasks import spec_store
from networks.refused import Answer, Reason
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, forward, network, with_forwards
from tests.networks.host.lab6 import OUTSIDE6, connect6, network6
from tests.networks.host.test_bridged import FIRST, Site, arp
from tests.networks.host.test_own_router import owned

pytestmark = pytest.mark.kernel

ELSEWHERE = "198.51.100.77"
BRIEF = 0.4


def look(
    lab: Lab, spec: NetworkSpec, *others: NetworkSpec, scope: RefusedScope | None = None
) -> Refusals:
    asked = scope or RefusedScope(network=spec.subject)
    return lab.host.call(lambda: refused.listed(spec, [spec, *others], asked))


def send(lab: Lab, source: str, to: str, port: int, count: int = 1) -> None:
    """Datagrams from outside, which nobody repeats."""
    with lab.internet.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.bind((source, 4000))
        for _ in range(count):
            sender.sendto(b"x", (to, port))


def told(found: Iterable[ShownRefusal]) -> set[tuple[object, ...]]:
    return {(e.reason, e.source, e.destination, e.protocol, e.port, e.packets) for e in found}


@pytest.fixture
def routed(lab: Lab) -> NetworkSpec:
    """A routed network with one guest, whose UDP 7 is open to all, and the way to it outside."""
    spec = replace(network(guests=2), mode="routed", logs=True)
    everybody = InboundSpec(cidr="0.0.0.0/0", protocol="udp", first_port=7, last_port=7)
    lab.guest(spec.reservations[0], spec).udp_server(7)
    lab.internet.ip(f"address add {ELSEWHERE}/32 dev eth0")
    lab.internet.ip(f"route add {spec.subnet} via {PUBLIC}")
    return replace(spec, inbound=(everybody,))


def test_what_is_closed_is_noted_once_with_its_count_and_what_is_open_never(
    lab: Lab, routed: NetworkSpec
) -> None:
    first, second = routed.reservations
    lab.apply(routed)
    assert look(lab, routed) == Refusals(logs=True)
    assert lab.internet.ask_udp(first.address, 7) == OUTSIDE
    send(lab, OUTSIDE, first.address, 53, count=5)
    send(lab, ELSEWHERE, first.address, 53)
    send(lab, OUTSIDE, second.address, 53, count=2)
    assert not lab.internet.pings(first.address)
    found = look(lab, routed)
    assert told(found.refused) == {
        ("closed", OUTSIDE, first.address, "udp", 53, 5),
        ("closed", ELSEWHERE, first.address, "udp", 53, 1),
        ("closed", OUTSIDE, second.address, "udp", 53, 2),
        ("closed", OUTSIDE, first.address, "icmp", 0, 1),
    }
    assert found.total == 4
    assert [each.ago for each in found.refused] == sorted(each.ago for each in found.refused)
    assert all(0 <= each.ago < 120 for each in found.refused)
    of_second = RefusedScope(network=routed.subject, reservations=(second.id,))
    assert [e.guest for e in look(lab, routed, scope=of_second).refused] == [second.id]

    lab.apply(replace(routed, logs=False))
    send(lab, OUTSIDE, first.address, 54)
    assert look(lab, replace(routed, logs=False)) == Refusals(logs=False)
    lab.apply(routed)
    assert look(lab, routed).refused == (), "switching it off forgets"


def test_a_flood_of_sources_fills_nothing_and_hides_not_what_is_known(
    lab: Lab, routed: NetworkSpec
) -> None:
    first = routed.reservations[0]
    lab.apply(routed)
    send(lab, OUTSIDE, first.address, 22)
    with lab.internet.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.bind((ELSEWHERE, 4000))
        for port in range(10_000, 14_000):
            sender.sendto(b"x", (first.address, port))
    send(lab, OUTSIDE, first.address, 22, count=3)
    noted = lab.host.nft("list set inet kvmweb no_closed")[1]["set"]["elem"]
    assert 100 <= len(noted) < 1500
    lab.host.run("nft", "list", "ruleset")
    dropped = lab.host.nft("list chain inet kvmweb inbound")[-1]["rule"]["expr"]
    assert next(each for each in dropped if "counter" in each)["counter"]["packets"] == 4004
    wide = RefusedScope(network=routed.subject, limit=500)
    known = [each for each in look(lab, routed, scope=wide).refused if each.port == 22]
    assert [each.packets for each in known] == [4]
    second = routed.reservations[1]
    send(lab, OUTSIDE, second.address, 53)
    of_second = RefusedScope(network=routed.subject, reservations=(second.id,))
    assert look(lab, routed, scope=of_second).total == 1, "nor what concerns other guests"


def test_each_reason_is_told_from_the_others(lab: Lab) -> None:
    spec = network(guests=1)
    target = spec.reservations[0]
    guest = lab.guest(target, spec)
    guest.udp_server(7)
    narrow = forward(1, 1, target, protocol="udp", public_port=9001, port=7)
    narrow = replace(narrow, sources=(f"{ELSEWHERE}/32",))
    slow = replace(forward(1, 2, target, protocol="udp", public_port=9002, port=7), rate=1, burst=1)
    listed = (EgressSpec(cidr=f"{OUTSIDE}/32", protocol="udp", first_port=7, last_port=7),)
    lab.internet.udp_server(7)
    lab.internet.ip(f"address add {ELSEWHERE}/32 dev eth0")
    spec = replace(with_forwards(spec, narrow, slow), egress=listed, logs=True)
    quiet = network(2, guests=1)
    stranger = lab.guest(quiet.reservations[0], quiet)
    lab.apply(quiet)
    lab.apply(spec)

    assert guest.ask_udp(OUTSIDE, 7), "what is listed is not noted"
    send(lab, OUTSIDE, PUBLIC, 9001)
    assert stranger.ask_udp(PUBLIC, 9001, BRIEF) == ""
    for port in range(6):
        send_from(lab, port + 5000, PUBLIC, 9002)
    assert guest.ask_udp(OUTSIDE, 8, BRIEF) == ""
    assert guest.ask_udp(quiet.reservations[0].address, 7, BRIEF) == ""
    guest.ip("address add 10.99.0.9/32 dev eth0")
    with guest.udp_socket() as liar:
        liar.bind(("10.99.0.9", 0))
        liar.sendto(b"x", (OUTSIDE, 7))
    assert guest.ask_udp(spec.gateway, 9, BRIEF) == ""
    own = bytes.fromhex(target.mac.replace(":", ""))
    with guest.packets("eth0") as frames:
        frames.send(b"\xff" * 6 + own + b"\x08\x06" + arp(target.mac, "10.61.0.77"))

    found = look(lab, spec, quiet)
    shown = {(e.reason, e.forward, e.source, e.destination, e.port) for e in found.refused}
    assert shown == {
        ("source", narrow.id, OUTSIDE, target.address, 7),
        ("source", narrow.id, "", target.address, 7),
        ("limit", slow.id, OUTSIDE, target.address, 7),
        ("egress", "", target.address, OUTSIDE, 8),
        ("apart", "", target.address, quiet.reservations[0].address, 7),
        ("forged", "", "10.99.0.9", OUTSIDE, 7),
        ("forged", "", "10.61.0.77", "10.61.0.77", 0),
        ("host", "", target.address, spec.gateway, 9),
    }
    assert {each.guest for each in found.refused} == {target.id}
    assert look(lab, replace(quiet, logs=True), spec).refused == (), "each network has its own"


def send_from(lab: Lab, source_port: int, to: str, port: int) -> None:
    with lab.internet.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.bind((OUTSIDE, source_port))
        sender.sendto(b"x", (to, port))


def test_ipv6_is_noted_too(lab: Lab) -> None:
    connect6(lab)
    spec = replace(network6(guests=1, ipv6="routed"), mode="routed", logs=True)
    target = spec.reservations[0]
    lab.guest(target, spec)
    lab.apply(spec)
    with lab.internet.entered():
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with sender:
        for _ in range(3):
            sender.sendto(b"x", (target.address6, 53))
    assert told(look(lab, spec).refused) == {("closed", OUTSIDE6, target.address6, "udp", 53, 3)}


def test_guests_behind_a_router_of_their_own_are_told_by_the_addresses_people_know(
    lab: Lab,
) -> None:
    spec = replace(owned(1, guests=1), egress=(), logs=True)
    target = spec.reservations[0]
    guest = lab.guest(target, spec)
    lab.apply(spec)
    assert guest.ask_udp(OUTSIDE, 8, BRIEF) == ""
    (shown,) = look(lab, spec).refused
    assert (shown.reason, shown.guest) == ("egress", target.id)
    assert (shown.source, shown.destination, shown.port) == (target.address, OUTSIDE, 8)

    config = HostConfig(name="host", broker="", key="", paths=lab.paths)
    spec_store(lab.paths).accept(spec)
    question = {"network": spec.subject, "forward": "", "reservations": [target.id], "limit": 5}
    said = lab.host.call(lambda: answers(config)["refused"](question))
    answer = msgspec.convert(msgspec.to_builtins(said), Answer)
    assert (answer.logs, answer.total) == (True, 1)
    assert {each.reason for each in NOTES} == set(Reason.values)
    assert (answer.refused[0].guest, answer.refused[0].source) == (target.id, target.address)


def test_guarded_guests_of_a_bridged_network_are_told_too(lab: Lab) -> None:
    site = Site(lab)
    spec = replace(site.spec, logs=True)
    lab.apply(spec)
    assert site.internet.ask_udp(FIRST, 7, BRIEF) == ""
    assert site.guests[0].ask_udp(OUTSIDE, 90) == FIRST
    (shown,) = look(lab, spec).refused
    assert (shown.reason, shown.guest) == ("closed", spec.reservations[0].id)
    assert (shown.source, shown.destination, shown.port) == (OUTSIDE, FIRST, 7)
