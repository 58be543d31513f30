"""What a machine is taken for, told from a real kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvmweb.server import machine
from tests.netns import Namespace

pytestmark = pytest.mark.kernel


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("m") as namespace:
        yield namespace


def link(namespace: Namespace, name: str, address: str) -> None:
    namespace.ip(f"link add {name} type bridge")
    namespace.ip(f"address add {address} dev {name}")
    namespace.ip(f"link set {name} up")


def test_the_source_address_of_the_default_route_is_the_public_one(namespace: Namespace) -> None:
    link(namespace, "lan", "10.9.0.2/24")
    link(namespace, "wan", "198.51.100.11/24")
    namespace.ip("route add default via 198.51.100.1 dev wan")
    assert namespace.call(machine.outside) == machine.Outside("198.51.100.11")


def test_the_source_that_the_route_itself_names_comes_first(namespace: Namespace) -> None:
    link(namespace, "wan", "198.51.100.11/24")
    namespace.ip("address add 198.51.100.12/24 dev wan")
    namespace.ip("route add default via 198.51.100.1 dev wan src 198.51.100.12")
    assert namespace.call(machine.outside).address == "198.51.100.12"


def test_without_a_default_route_the_first_address_is_taken_with_a_warning(
    namespace: Namespace,
) -> None:
    link(namespace, "kw1", "10.60.0.1/24")
    link(namespace, "lan", "10.9.0.2/24")
    found = namespace.call(machine.outside)
    assert found.address == "10.9.0.2"
    assert "no default route" in found.warning


def test_a_machine_alone_has_its_loopback_and_is_told_so(namespace: Namespace) -> None:
    found = namespace.call(machine.outside)
    assert found.address == "127.0.0.1"
    assert "on the machine itself only" in found.warning


def test_a_port_in_use_is_refused_with_the_way_out(namespace: Namespace) -> None:
    namespace.tcp_server(8000)
    assert "--port" in namespace.call(lambda: machine.refusal("127.0.0.1", 8000))
    assert namespace.call(lambda: machine.refusal("127.0.0.1", 8001)) == ""
    assert "--listen" in namespace.call(lambda: machine.refusal("198.51.100.99", 8001))
