"""Lists of where guests may go, as ranges that do not overlap."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.host.elements import Element, ends_of
from networks.host.listed import NUMBERS, Box, disjoint, egress_elements, inbound_elements, permits
from networks.host.spec import EgressSpec, ListedSpec

pytestmark = pytest.mark.pure

SIDES = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda ends: (min(ends), max(ends)))
BOXES = st.lists(st.tuples(SIDES, SIDES), max_size=6)
CIDRS = st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"])
ADDRESSES = st.sampled_from(["10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "198.51.100.1"])


@st.composite
def rules(draw: st.DrawFn) -> EgressSpec:
    protocol = draw(st.sampled_from(["any", "tcp", "udp", "icmp"]))
    first, last = 0, 0
    if protocol in ("tcp", "udp") and draw(st.booleans()):
        first, last = sorted((draw(st.integers(1, 9)), draw(st.integers(1, 9))))
    return EgressSpec(cidr=draw(CIDRS), protocol=protocol, first_port=first, last_port=last)  # type: ignore[arg-type]


def _points(boxes: list[Box]) -> list[tuple[int, int]]:
    return [
        (x, y) for (x0, x1), (y0, y1) in boxes for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)
    ]


@given(BOXES)
def test_boxes_are_cut_without_overlap_and_without_loss(boxes: list[Box]) -> None:
    points = _points(list(disjoint(boxes)))
    assert len(points) == len(set(points))
    assert set(points) == set(_points(boxes))


@given(st.lists(rules(), max_size=6), st.sampled_from(["tcp", "udp", "icmp"]), ADDRESSES)
def test_the_elements_let_through_what_the_list_permits(
    listed: list[EgressSpec], protocol: str, address: str
) -> None:
    elements = egress_elements("kw1", listed)
    for port in range(1, 11):
        wanted = permits(listed, NUMBERS[protocol], IPv4Address(address), port)
        assert _match(elements, NUMBERS[protocol], address, port) == wanted


@given(st.lists(rules(), max_size=6), st.sampled_from(["tcp", "udp", "icmp"]), ADDRESSES)
def test_a_guest_is_open_to_those_listed_for_its_address_alone(
    listed: list[ListedSpec], protocol: str, source: str
) -> None:
    elements = inbound_elements("kw1", "10.61.0.2", listed)  # type: ignore[arg-type]
    assert {element.key[0] for element in elements} <= {"10.61.0.2-10.61.0.2"}
    for port in range(1, 11):
        wanted = permits(listed, NUMBERS[protocol], IPv4Address(source), port)
        assert _match(elements, NUMBERS[protocol], source, port) == wanted


def _match(elements: list[Element], protocol: int, address: str, port: int) -> bool:
    whole = [("inet_proto", protocol), ("ipv4_addr", int(IPv4Address(address)))]
    ports = [whole[0], ("inet_service", port), whole[1]]
    packet = {"egress_all": whole, "open_all": whole, "egress_ports": ports, "open_ports": ports}
    return any(
        all(
            _number(ends_of(kind, field)[0]) <= value <= _number(ends_of(kind, field)[1])  # type: ignore[arg-type]
            for (kind, value), field in zip(packet[element.name], element.key[1:], strict=True)
        )
        for element in elements
    )


def _number(text: str | int) -> int:
    return int(IPv4Address(text)) if "." in str(text) else int(text)
