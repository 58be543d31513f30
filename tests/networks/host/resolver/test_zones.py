"""What the name server makes of messages, without sockets."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.host.resolver import wire, zones
from networks.host.spec import NetworkSpec
from networks.host.zone_file import zone_file
from tests.dns import AAAA, NO_SUCH_NAME, OK, PTR, REFUSED, TXT, Told, question, told
from tests.networks.host.test_names import named

pytestmark = pytest.mark.pure


def _with_ipv6(spec: NetworkSpec) -> NetworkSpec:
    (guest,) = spec.reservations
    web = replace(guest, hostname="web", address6="fd00:61::9")
    return replace(spec, ipv6="nat66", subnet6="fd00:61::/64", reservations=(web,))


TEXT = zone_file(named(1)) or ""
ZONE = zones.read(TEXT)
BOTH = zones.read(zone_file(_with_ipv6(named(1, guests=1))) or "")


def answer(zone: zones.Zone, message: bytes) -> bytes | None:
    query = wire.parse(message)
    assert isinstance(query, wire.Query)
    return zones.answer(zone, query)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("guest12.net1.internal", AAAA, Told(OK)),
        ("guest12.net1.internal", TXT, Told(OK)),
        ("net1.internal", 1, Told(OK)),
        ("deep.guest12.net1.internal", 1, Told(NO_SUCH_NAME)),
        ("2.0.61.10.in-addr.arpa", TXT, Told(OK)),
        ("localhost", 1, Told(NO_SUCH_NAME)),
        ("guest12.net1.internal", 252, Told(REFUSED)),
    ],
)
def test_what_is_the_networks_own_is_answered_here(name: str, kind: int, expected: Told) -> None:
    found = answer(ZONE, question(name, kind))
    assert found is not None
    assert told(found) == expected


@pytest.mark.parametrize(
    "name", ["internal", "net2.internal", "notnet1.internal", "9.8.8.8.in-addr.arpa", "a.b"]
)
def test_what_is_not_goes_upstream(name: str) -> None:
    assert answer(ZONE, question(name, 2)) is None


def test_ipv6_is_resolved_both_ways() -> None:
    found = answer(BOTH, question("web", AAAA)) or b""
    assert found[-16:] == bytes.fromhex("fd0000610000000000000000000000") + b"\x09"
    reverse = ".".join(reversed("fd000061000000000000000000000009")) + ".ip6.arpa"
    assert told(answer(BOTH, question(reverse, PTR)) or b"") == Told(OK, ("web.net1.internal",))


def test_edns_is_answered_with_edns() -> None:
    extra = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
    message = question("guest12")
    found = answer(ZONE, message[:10] + b"\0\1" + message[12:] + extra) or b""
    assert found.endswith(extra)
    assert found[10:12] == b"\0\1"


def test_other_classes_are_refused() -> None:
    message = question("version.bind", TXT)
    found = answer(ZONE, message[:-2] + b"\0\3") or b""
    assert told(found).code == REFUSED


@given(st.binary(max_size=600))
def test_no_message_is_too_strange(message: bytes) -> None:
    query = wire.parse(message)
    if isinstance(query, wire.Query):
        found = zones.answer(ZONE, query)
        assert found is None or found[:2] == message[:2]
    elif query is not None:
        assert wire.error(message, query)[:2] == message[:2]


@given(st.binary(max_size=80), st.integers(0, 0xFFFF))
def test_noise_is_no_answer(noise: bytes, number: int) -> None:
    query = wire.parse(question("example.org"))
    assert isinstance(query, wire.Query)
    reply = wire.answer(query, wire.NO_ERROR)
    assert wire.answers(wire.numbered(reply, number), query, number)
    assert not wire.answers(wire.numbered(reply, number ^ 1), query, number)
    assert not wire.answers(question("example.com", number=number), query, number)
    assert not wire.answers(noise, query, number)
