"""The ruleset's text and the bytes of its elements."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.host.contents import elements, host_elements, owned
from networks.host.dhcp_files import dhcp_files
from networks.host.elements import (
    SETS,
    Field,
    FieldType,
    pack,
    pack_range,
    unpack,
    unpack_range,
)
from networks.host.ruleset import CHAINS, document, skeleton
from networks.host.spec import EgressSpec, InboundSpec, NetworkSpec, PeerSpec
from networks.host.state import DhcpFile
from tests.netns import Namespace
from tests.networks.host.lab import (
    PUBLIC,
    SECOND_PUBLIC,
    absent,
    forward,
    network,
    with_forwards,
)
from tests.networks.host.lab6 import forward6, network6

GOLDEN = Path(__file__).parents[2] / "golden" / "nft"


def _as_the_kernel_tells(address: object) -> str:
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, str(address)))


FIELDS: dict[FieldType, st.SearchStrategy[Field]] = {
    "ipv4_addr": st.ip_addresses(v=4).map(str),
    "ipv6_addr": st.ip_addresses(v=6).map(_as_the_kernel_tells),
    "nd_target": st.ip_addresses(v=6).map(_as_the_kernel_tells),
    "nf_proto": st.sampled_from(["ipv4", "ipv6"]),
    "inet_proto": st.sampled_from(["tcp", "udp"]),
    "inet_service": st.integers(0, 65535),
    "mark": st.integers(0, 0xFFFFFFFF),
    "ifname": st.from_regex(r"[a-z0-9]{1,15}", fullmatch=True),
    "ether_addr": st.binary(min_size=6, max_size=6).map(lambda mac: mac.hex(":")),
}


def full() -> NetworkSpec:
    spec = network()
    first = spec.reservations[0]
    return with_forwards(
        spec,
        forward(1, 1, first),
        forward(1, 2, first, protocol="udp", public_port=53, port=53),
        replace(
            forward(1, 3, first, public_port=2222, port=22),
            sources=("198.51.100.1/32", "198.51.100.64/26"),
            rate=5,
            burst=9,
            connections=3,
        ),
        replace(forward(1, 4, first, public_port=20000, port=20000), ports=100),
        replace(forward(1, 5, first, public_port=3000, port=4000), ports=2),
        replace(
            forward(1, 6, first, public_port=0, port=0),
            protocol="all",
            public_address="198.51.100.12",
            source_nat=True,
        ),
    )


def listed() -> NetworkSpec:
    """A network with a pool of source addresses, a neighbour, and a list of where it may go."""
    return replace(
        network(),
        logs=True,
        source_pool=(PUBLIC, SECOND_PUBLIC),
        peers=(PeerSpec(bridge="kw2", subnet="10.62.0.0/24"),),
        egress=(
            EgressSpec(cidr="198.51.0.0/16", protocol="tcp", first_port=80, last_port=443),
            EgressSpec(cidr="198.51.100.1/32", protocol="tcp", first_port=443, last_port=444),
            EgressSpec(cidr="198.51.100.1/32", protocol="udp"),
            EgressSpec(cidr="10.9.0.0/16"),
        ),
    )


def opened() -> NetworkSpec:
    """Reachable as a whole: the web of all guests, and one guest's ssh from one place."""
    web = InboundSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=80, last_port=80)
    ssh = InboundSpec(cidr="198.51.100.0/24", protocol="tcp", first_port=22, last_port=22)
    ping = InboundSpec(cidr="0.0.0.0/0", protocol="icmp")
    spec = network()
    first = replace(spec.reservations[0], inbound=(ssh,))
    return replace(
        spec,
        mode="routed",
        guests_apart=True,
        inbound=(web, ping),
        reservations=(first, *spec.reservations[1:]),
    )


def bridged() -> NetworkSpec:
    """On a bridge of the host, closed but for the web and ping."""
    spec = replace(opened(), mode="bridged", logs=True, attach="br0", subnet="", gateway="")
    limited = replace(spec.reservations[0], max_down=125_000)
    reservations = (limited, *spec.reservations[1:])
    return replace(spec, reservations=tuple(replace(each, address="") for each in reservations))


def both() -> NetworkSpec:
    """A network with forwards of both families."""
    spec = network6()
    first = spec.reservations[0]
    return with_forwards(spec, forward(1, 1, first), forward6(1, 2, first))


DOCUMENTS = {
    "empty": document(),
    "nat": document(elements(full()) | host_elements(["up0"], ["up0"])),
    "masquerade": document(elements(replace(full(), source_address=None))),
    "isolated": document(elements(replace(network(), mode="isolated"))),
    "routed": document(elements(opened())),
    "listed": document(elements(listed())),
    "bridged": document(elements(bridged()) | host_elements(["br0"], ["br0"], through=["br0"])),
    "ipv6": document(elements(both()) | host_elements(["up0"], ["up0"], shut=True)),
}


@pytest.mark.pure
@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_as_before(name: str) -> None:
    """UPDATE_GOLDEN=1 writes what is there now; read the difference before committing it."""
    file = GOLDEN / f"{name}.nft"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(DOCUMENTS[name])
    assert file.read_text() == DOCUMENTS[name]


@pytest.mark.kernel
@pytest.mark.parametrize("name", DOCUMENTS)
def test_nft_accepts_the_documents(name: str) -> None:
    with Namespace("nft") as namespace:
        namespace.run("nft", "-c", "-f", str(GOLDEN / f"{name}.nft"))
        namespace.run("nft", "-f", str(GOLDEN / f"{name}.nft"))
        loaded = namespace.nft("list ruleset")
    chains = {(e["chain"]["family"], e["chain"]["name"]) for e in loaded if "chain" in e}
    assert chains == CHAINS


@pytest.mark.kernel
def test_loading_the_skeleton_again_doubles_nothing() -> None:
    with Namespace("nft") as namespace:
        namespace.run("nft", "-f", "-", stdin=document())
        before = namespace.run("nft", "list", "ruleset")
        namespace.run("nft", "-f", "-", stdin=skeleton())
        assert namespace.run("nft", "list", "ruleset") == before


@pytest.mark.kernel
def test_sets_that_packets_fill_have_room_though_none_is_reserved() -> None:
    """A size in the command that makes a set would be reserved."""
    made: dict[tuple[str, str], str] = {}
    for line in skeleton().splitlines():
        if line.startswith("add set") and "flags dynamic" in line:
            _, _, family, _, name, _ = line.split(maxsplit=5)
            made.setdefault((family, name), line)
    with Namespace("nft") as namespace:
        namespace.run("nft", "-f", "-", stdin=document())
        listed = [each["set"] for each in namespace.nft("list sets") if "set" in each]
    room = {(each["family"], each["name"]): each.get("size", 0) for each in listed}
    assert len(made) >= 20
    for place, line in made.items():
        assert " size " not in line
        assert room[place] >= 65_535, place


@pytest.mark.pure
@given(st.data(), st.sampled_from(sorted(SETS)))
def test_keys_and_values_survive_packing(data: st.DataObject, place: tuple[str, str]) -> None:
    kind = SETS[place]  # type: ignore[index]
    for types in (kind.key, kind.value):
        fields = tuple(data.draw(FIELDS[each]) for each in types)
        assert unpack(types, pack(types, fields)) == fields if types else not fields


@pytest.mark.pure
@given(st.integers(0, 255), st.integers(0, 65535), st.ip_addresses(v=4))
def test_ranges_survive_packing(protocol: int, port: int, address: IPv4Address) -> None:
    kind = SETS["inet", "egress_ports"]
    fields = ("kw1", f"{protocol}-255", f"{port}-65535", f"0.0.0.0-{address}")
    assert unpack_range(kind.key, *pack_range(kind.key, fields)) == fields


@pytest.mark.pure
def test_an_absent_network_has_nothing() -> None:
    assert elements(absent(full())) == frozenset()
    assert dhcp_files(absent(full()), ["9.9.9.9"]) == frozenset()


@pytest.mark.pure
def test_every_element_names_who_is_to_blame() -> None:
    ids = set(owned(full()).values())
    assert ids == {
        full().subject,
        *(reservation.id for reservation in full().reservations),
        *(forward.id for forward in full().forwards),
    }


@pytest.mark.pure
def test_a_reservation_without_a_port_may_send_nothing_yet() -> None:
    spec = replace(network(guests=1), reservations=(replace(network().reservations[0], port=""),))
    assert not any(element.family == "bridge" for element in elements(spec))


@pytest.mark.pure
def test_guests_are_told_the_resolvers_of_the_host() -> None:
    files = dhcp_files(network(guests=1), ["9.9.9.9", "8.8.8.8"])
    assert files == {
        DhcpFile("hosts", "kw1.520000000102", "52:00:00:00:01:02,10.61.0.2,guest12\n"),
        DhcpFile(
            "opts",
            "kw1",
            "tag:kw1,option:netmask,255.255.255.0\n"
            "tag:kw1,28,10.61.0.255\n"
            "tag:kw1,option:router,10.61.0.1\n"
            "tag:kw1,option:dns-server,9.9.9.9,8.8.8.8\n",
        ),
    }


@pytest.mark.kernel
def test_dnsmasq_accepts_the_files(tmp_path: Path) -> None:
    for file in dhcp_files(replace(network(), mtu=1400), ["9.9.9.9"]):
        option = "--dhcp-hostsfile" if file.folder == "hosts" else "--dhcp-optsfile"
        path = tmp_path / file.name
        path.write_text(file.text)
        subprocess.run(
            ["dnsmasq", "--test", "--conf-file=/dev/null", f"{option}={path}"],
            check=True,
            capture_output=True,
        )
