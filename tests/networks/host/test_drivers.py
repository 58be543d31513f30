"""The drivers one by one, against what other programs say of the same kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from networks.host.contents import elements, host_elements
from networks.host.drivers import flows, hostfacts
from networks.host.drivers.firewall import Firewall
from networks.host.drivers.flows import Flows
from networks.host.drivers.hostfacts import Address, Listener
from networks.host.elements import Element
from networks.host.ops import Destination, EndFlows
from tests.netns import Namespace
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, forward, network, with_forwards

pytestmark = pytest.mark.kernel


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("drv") as made:
        yield made


@pytest.fixture
def firewall(namespace: Namespace, tmp_path: Path) -> Iterator[Firewall]:
    with namespace.entered(), closing(Firewall(tmp_path / "record.json")) as made:
        made.load_skeleton()
        yield made


def many(count: int) -> frozenset[Element]:
    spec = network(guests=1)
    target = spec.reservations[0]
    forwards = (
        replace(forward(1, 1, target, public_port=1000 + n), number=n + 1, id=f"f{n}")
        for n in range(count)
    )
    return elements(with_forwards(spec, *forwards))


def test_elements_read_back_as_they_were_written(firewall: Firewall) -> None:
    wanted = many(3) | host_elements(["eth0", "eth0.100"], ["eth0"])
    assert firewall.change(wanted, ()) == {}
    assert firewall.observe().of("kw1", "") == wanted


def test_thousands_of_elements_go_in_one_transaction(firewall: Firewall) -> None:
    wanted = many(5000)
    assert firewall.change(wanted, ()) == {}
    assert firewall.observe().of("kw1") == wanted
    assert firewall.change((), wanted) == {}
    assert firewall.observe().of("kw1") == frozenset()


def test_every_refused_element_is_named_and_nothing_was_done(firewall: Firewall) -> None:
    there = Element("inet", "fwd4id", (PUBLIC, "tcp", 80), (7,), "kw9")
    also = Element("bridge", "own_mac", ("kt1", "52:00:00:00:00:01"), (), "kw9")
    firewall.change([there, also], ())
    clash, fine = there._replace(value=(8,), owner="kw1"), there._replace(key=(PUBLIC, "tcp", 81))
    refused = firewall.change([clash, fine, also._replace(owner="kw1")], ())
    assert set(refused) == {clash, also._replace(owner="kw1")}
    assert firewall.observe().of("kw1", "kw9") == {there, also}


def test_removing_what_is_gone_already_is_success(firewall: Firewall) -> None:
    there, gone = sorted(many(1), key=str)[:2]
    firewall.change([there], ())
    assert firewall.change([], [there, gone]) == {}
    assert firewall.observe().of("kw1") == frozenset()


def test_an_element_is_replaced_in_one_transaction(firewall: Firewall) -> None:
    old = Element("inet", "snat4", ("kw1",), ("198.51.100.10",), "kw1")
    new = old._replace(value=("198.51.100.11",))
    firewall.change([old], ())
    assert firewall.change([new], [old]) == {}
    assert firewall.observe().of("kw1") == {new}


def test_changes_of_others_are_seen_and_their_tables_are_not(
    firewall: Firewall, namespace: Namespace
) -> None:
    wanted = many(2)
    firewall.change(wanted, ())
    firewall.observe()
    namespace.run("nft", "add", "table", "ip", "other")
    assert firewall.observe().of("kw1") == wanted
    assert firewall.observe().skeleton


def test_what_is_known_is_not_read_again(firewall: Firewall) -> None:
    firewall.change(many(2), ())
    assert firewall.observe() is firewall.observe()


def test_addresses_and_routes_are_those_ip_shows(lab: Lab) -> None:
    lab.host.ip("route add 10.9.0.0/16 via 198.51.100.1")
    lab.host.ip("route add blackhole 10.8.0.0/16")
    with lab.host.entered():
        assert set(hostfacts.addresses()) >= {
            Address("up0", PUBLIC, 24),
            Address("lo", "127.0.0.1", 8),
        }
        routes = hostfacts.routes()
        assert hostfacts.uplinks() == ("up0",)
        assert {(route.interface, str(route.network), route.table) for route in routes} == {
            ("up0", "0.0.0.0/0", 254),
            ("up0", "198.51.100.0/24", 254),
            ("up0", "10.9.0.0/16", 254),
        }
    shown = {route["dst"] for route in lab.host.ip("route show")} - {"10.8.0.0/16"}
    assert len(shown) == len(routes)


def test_listeners_are_found_on_every_kind_of_socket(lab: Lab) -> None:
    lab.host.tcp_server(80)
    lab.host.tcp_server(8080, PUBLIC)
    lab.host.udp_server(53, "127.0.0.1")
    lab.host.start("busybox", "nc", "-l", "-p", "99", "-s", "::")
    with lab.host.connect(PUBLIC, 8080), lab.host.entered():
        found = hostfacts.listeners()
    assert {
        Listener("tcp", "0.0.0.0", 80),  # noqa: S104
        Listener("tcp", PUBLIC, 8080),
        Listener("udp", "127.0.0.1", 53),
    } <= found
    assert len([listener for listener in found if listener.port == 8080]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 127.0.0.53\n", ("9.9.9.9",)),
        ("nameserver 127.0.0.53\nnameserver 10.1.1.1\n", ("10.1.1.1",)),
        ("# nothing\nnameserver\nnameserver fe80::1%eth0\nnameserver ::1\n", ("9.9.9.9",)),
        ("nameserver 8.8.8.8\nnameserver 8.8.8.8\n", ("8.8.8.8",)),
    ],
)
def test_resolvers_are_never_on_loopback(
    tmp_path: Path, text: str, expected: tuple[str, ...]
) -> None:
    first, second = tmp_path / "resolv.conf", tmp_path / "real.conf"
    first.write_text(text)
    second.write_text("nameserver 9.9.9.9\n")
    assert hostfacts.resolvers((tmp_path / "missing", first, second)) == expected


def entry(namespace: Namespace, protocol: str, port: int, mark: int, source: str) -> None:
    """Make a tracked connection out of nothing."""
    namespace.run(
        *("conntrack", "-I", "-p", protocol, "-s", source, "-d", PUBLIC, "--sport", "4000"),
        *("--dport", str(port), "-m", str(mark), "-t", "60"),
        *(("--state", "ESTABLISHED") if protocol == "tcp" else ()),
    )


def ports(namespace: Namespace) -> set[int]:
    with namespace.entered():
        return {flow.port for flow in flows.listed()}


@pytest.mark.parametrize(
    ("what", "left"),
    [
        (EndFlows(numbers=frozenset({7})), {2, 3, 4}),
        (EndFlows(numbers=frozenset({99})), {1, 2, 3, 4}),
        (EndFlows(destinations=frozenset({Destination("udp", PUBLIC, 2, 2)})), {1, 3, 4}),
        (EndFlows(destinations=frozenset({Destination("udp", PUBLIC, 1, 3)})), {1, 3, 4}),
        (EndFlows(destinations=frozenset({Destination("tcp", PUBLIC, 2, 2)})), {1, 2, 3, 4}),
        (EndFlows(subnets=frozenset({"10.61.0.0/24"})), {1, 2, 3}),
        (EndFlows(numbers=frozenset(range(7, 30))), {2, 4}),
        (
            EndFlows(
                numbers=frozenset(range(20, 30)),
                destinations=frozenset({Destination("tcp", PUBLIC, 1, 1)}),
            ),
            {2, 3, 4},
        ),
    ],
)
def test_only_the_connections_named_are_ended(
    namespace: Namespace, what: EndFlows, left: set[int]
) -> None:
    namespace.run("nft", "-f", "-", stdin=_TRACKING)
    entry(namespace, "tcp", 1, 7, OUTSIDE)
    entry(namespace, "udp", 2, 0, OUTSIDE)
    entry(namespace, "tcp", 3, 8, OUTSIDE)
    entry(namespace, "udp", 4, 0, "10.61.0.9")
    with namespace.entered(), closing(Flows()) as driver:
        driver.end(what)
    assert ports(namespace) == left


_TRACKING = "table ip t { chain c { type filter hook input priority 0; ct state new accept; }\n}\n"


def test_the_record_of_the_skeleton_is_readable(firewall: Firewall, tmp_path: Path) -> None:
    assert set(json.loads((tmp_path / "record.json").read_text())) == {"text", "objects"}
