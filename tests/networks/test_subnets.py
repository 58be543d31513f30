"""Subnets, addresses and MACs: whatever is typed is read or refused, and nothing is given twice."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core import names
from kvmweb.core.errors import Conflict, Invalid
from networks import subnets
from tests.refusals import result_of

pytestmark = pytest.mark.pure

PREFIXES = st.integers(min_value=8, max_value=32)
ADDRESSES = st.ip_addresses(v=4)
ANY_SUBNET = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False), ADDRESSES, PREFIXES
)
NEAR = st.builds(
    lambda third, prefix: IPv4Network((f"10.60.{third}.0", prefix), strict=False),
    st.integers(min_value=0, max_value=255),
    st.integers(min_value=15, max_value=30),
)


@given(st.one_of(st.text(max_size=60), ANY_SUBNET.map(str), st.from_regex(r"[\d./]{1,20}")))
def test_any_text_is_a_private_subnet_or_refused_with_its_field(text: str) -> None:
    subnet = result_of(Invalid, lambda: subnets.parse_subnet(text))
    if isinstance(subnet, Invalid):
        assert (subnet.field, subnet.code) == ("ipv4_subnet", "invalid_subnet")
        assert subnet.remedy
    else:
        assert str(subnet) == text.strip()
        assert any(subnet.subnet_of(private) for private in subnets.PRIVATE)
        assert subnets.SHORTEST_PREFIX <= subnet.prefixlen <= subnets.LONGEST_PREFIX


def test_an_address_inside_a_subnet_is_answered_with_the_subnet() -> None:
    with pytest.raises(Invalid) as caught:
        subnets.parse_subnet("10.60.0.7/24")
    assert caught.value.remedy == "Did you mean 10.60.0.0/24?"


@given(st.lists(st.one_of(NEAR, ANY_SUBNET), max_size=30))
def test_what_is_proposed_overlaps_nothing_taken(taken: list[IPv4Network]) -> None:
    words = [(network, "x") for network in taken]
    proposed = result_of(Conflict, lambda: subnets.propose(words))
    if isinstance(proposed, Conflict):
        assert proposed.field == "ipv4_subnet"
    else:
        assert not any(proposed.overlaps(network) for network in taken)
        assert subnets.parse_subnet(str(proposed)) == proposed


@given(NEAR, st.lists(NEAR, max_size=10))
def test_every_overlap_is_refused_and_nothing_else(
    subnet: IPv4Network, taken: list[IPv4Network]
) -> None:
    shared = any(
        network.network_address <= subnet.broadcast_address
        and subnet.network_address <= network.broadcast_address
        for network in taken
    )
    words = [(network, "another network") for network in taken]
    overlap = result_of(Conflict, lambda: subnets.refuse_overlap(subnet, words))
    if isinstance(overlap, Conflict):
        assert shared
        assert overlap.code == "subnet_overlaps"
    else:
        assert not shared


SMALL = st.integers(min_value=24, max_value=29).map(
    lambda prefix: IPv4Network(f"10.60.0.0/{prefix}")
)


@given(SMALL, st.data())
def test_a_free_address_is_a_guests_and_not_taken(subnet: IPv4Network, data: st.DataObject) -> None:
    hosts = [str(address) for address in subnet.hosts()]
    taken = data.draw(st.lists(st.sampled_from(hosts), unique=True))
    address = result_of(Conflict, lambda: subnets.free_address(subnet, taken))
    if isinstance(address, Conflict):
        assert address.code == "subnet_full"
        assert set(hosts[1:]) <= set(taken)
    else:
        assert str(address) not in taken
        assert subnets.parse_address(str(address), subnet) == address


@pytest.mark.parametrize("prefix", [26, 28, 29])
def test_addresses_run_out_exactly_when_all_guests_have_one(prefix: int) -> None:
    subnet = IPv4Network(f"10.60.0.0/{prefix}")
    taken: list[str] = []
    for _ in range(subnet.num_addresses - 3):
        taken.append(str(subnets.free_address(subnet, taken)))
    assert len(set(taken)) == len(taken)
    with pytest.raises(Conflict):
        subnets.free_address(subnet, taken)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    address = result_of(Invalid, lambda: subnets.parse_address(text, IPv4Network("10.60.0.0/24")))
    if isinstance(address, Invalid):
        assert address.field == "address"
    else:
        assert str(address) == text.strip()


@given(st.one_of(st.text(max_size=40), st.binary(min_size=6, max_size=6).map(lambda b: b.hex(":"))))
def test_any_text_is_a_unicast_mac_or_refused(text: str) -> None:
    mac = result_of(Invalid, lambda: subnets.parse_mac(text))
    if isinstance(mac, Invalid):
        assert mac.field == "mac"
    else:
        octets = bytes.fromhex(mac.replace(":", ""))
        assert len(octets) == 6
        assert not octets[0] & 1


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", names.bridge_mac(7)])
def test_nobodys_mac_and_a_bridges_are_refused(mac: str) -> None:
    with pytest.raises(Invalid) as caught:
        subnets.parse_mac(mac)
    assert caught.value.field == "mac"
