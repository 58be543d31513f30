"""Each thing on a packet's way is broken alone, and it alone is named; then mended again."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from kvmweb.host.store import SpecStore
from networks.host.drivers.dhcp import Dhcp
from networks.host.explain.steps import Case, Step
from networks.host.facts import Looker
from networks.host.spec import EgressSpec, ForwardSpec, NetworkSpec
from tests.netns import Namespace, eventually, veth
from tests.networks.host.breaking import Breaks, broken
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    SECOND_PUBLIC,
    Lab,
    forward,
    network,
    with_forwards,
)

pytestmark = pytest.mark.kernel

FWD4 = f"inet kvmweb fwd4 {{ {PUBLIC} . tcp . 8080 }}"


class World:
    """One guest with a web server behind one forward; no network worker runs."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab.host
        plain = network(1, guests=1)
        self.reservation = plain.reservations[0]
        self.forward = forward(1, 1, self.reservation)
        self.spec: NetworkSpec = with_forwards(plain, self.forward)
        self.apply()
        self.guest: Namespace = lab.guest(self.reservation, self.spec)
        self.apply()
        self.guest.tcp_server(80)

    def apply(self, spec: NetworkSpec | None = None) -> None:
        self.lab.apply(spec or self.spec)

    def why(
        self, *, one: ForwardSpec | None = None, source: str = OUTSIDE, vm: str | None = None
    ) -> tuple[Step, ...]:
        """The steps of the forward as the host tells them now."""
        looker = self._looker(vm)
        return self.host.call(
            lambda: looker.forward(
                self.spec, self.reservation, one or self.forward, Case(network="", source=source)
            )
        )

    def why_not_out(self, spec: NetworkSpec | None = None) -> tuple[Step, ...]:
        looker = self._looker(None)
        return self.host.call(lambda: looker.outbound(spec or self.spec, self.reservation))

    def _looker(self, vm: str | None) -> Looker:
        return Looker(paths=self.lab.paths, resolv_files=(self.lab.resolv,), vm_state=lambda _: vm)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    lab = Lab(tmp_path_factory.mktemp("explain"))
    try:
        yield World(lab)
    finally:
        lab.close()


breaks = Breaks[World]()


@breaks("address")
def the_public_address_is_gone(world: World) -> Iterator[None]:
    world.host.ip(f"address del {PUBLIC}/24 dev up0")
    yield
    for address in (PUBLIC, SECOND_PUBLIC):
        world.host.ip(f"address replace {address}/24 dev up0")
    world.host.ip(f"route replace default via {OUTSIDE}")


@breaks("address")
def the_uplink_is_off(world: World) -> Iterator[None]:
    world.host.ip("link set up0 down")
    yield
    world.host.ip("link set up0 up")
    world.host.ip(f"route replace default via {OUTSIDE}")


@breaks("rules")
def somebody_added_a_rule(world: World) -> Iterator[None]:
    world.host.run("nft", "insert rule inet kvmweb forward drop")
    yield
    world.apply()


@breaks("dnat")
def the_forward_is_not_in_the_kernel(world: World) -> Iterator[None]:
    world.host.run("nft", f"delete element {FWD4}")
    yield
    world.apply()


@breaks("dnat")
def the_forward_leads_elsewhere(world: World) -> Iterator[None]:
    elsewhere = FWD4.replace(" }", ' comment "kw1" : 10.61.0.9 . 81 }')
    world.host.run("nft", f"delete element {FWD4}; add element {elsewhere}")
    yield
    world.apply()


@breaks("bridge")
def the_bridge_is_off(world: World) -> Iterator[None]:
    world.host.ip("link set kw1 down")
    yield
    world.apply()


@breaks("bridge")
def the_bridge_lost_its_address(world: World) -> Iterator[None]:
    world.host.ip("address flush dev kw1")
    yield
    world.apply()


@breaks("forwarding")
def the_uplink_does_not_forward(world: World) -> Iterator[None]:
    world.host.sysctl("ipv4/conf/up0/forwarding", "0")
    yield
    world.apply()


@breaks("chain:ip filter FORWARD")
def iptables_drops(world: World) -> Iterator[None]:
    world.host.run("iptables-nft", "-P", "FORWARD", "DROP")
    rule = ("-m", "conntrack", "--ctstate", "NEW", "-j", "RETURN")
    world.host.run("iptables-nft", "-A", "FORWARD", *rule)
    yield
    world.host.nft("delete table ip filter")


@breaks("chain:iptables-legacy filter FORWARD")
def legacy_iptables_drops(world: World) -> Iterator[None]:
    rule = ("-p", "tcp", "--dport", "80", "-j", "DROP")
    world.host.run("iptables-legacy", "-A", "FORWARD", *rule)
    yield
    world.host.run("iptables-legacy", "-F", "FORWARD")


@breaks("chain:inet firewalld filter_FORWARD")
def firewalld_rejects(world: World) -> Iterator[None]:
    rules = """
    table inet firewalld {
      chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        iifname "lo" accept
        jump policies
        ct state { invalid } drop
        reject with icmpx admin-prohibited
      }
      chain policies { ip saddr { 10.9.0.0/16, 10.8.0.1 } accept; }
    }"""
    world.host.run("nft", "-f", "-", stdin=rules)
    yield
    world.host.nft("delete table inet firewalld")


@breaks("chain:inet mine forward")
def a_chain_drops_the_answers(world: World) -> Iterator[None]:
    rules = """
    table inet mine {
      map verdicts { type ifname : verdict; elements = { "kw1" : drop, "lo" : accept }; }
      chain forward {
        type filter hook forward priority 5; policy accept;
        iifname vmap @verdicts
      }
    }"""
    world.host.run("nft", "-f", "-", stdin=rules)
    yield
    world.host.nft("delete table inet mine")


@breaks("port")
def the_guest_is_unplugged(world: World) -> Iterator[None]:
    world.host.ip("link set kt12 nomaster")
    yield
    world.apply()


@breaks("port")
def the_guest_port_is_off(world: World) -> Iterator[None]:
    world.host.ip("link set kt12 down")
    yield
    world.host.ip("link set kt12 up")


@breaks("port")
def the_link_of_the_guest_is_down(world: World) -> Iterator[None]:
    world.guest.ip("link set eth0 down")
    yield
    world.guest.ip("link set eth0 up")
    world.guest.ip("route replace default via 10.61.0.1")


@breaks("tied")
def the_guest_is_not_tied_to_its_address(world: World) -> Iterator[None]:
    own = "bridge kvmweb own4 { kt12 . 52:00:00:00:01:02 . 10.61.0.2 }"
    world.host.run("nft", f"delete element {own}")
    yield
    world.apply()


@contextmanager
def without_address(world: World) -> Iterator[None]:
    world.guest.ip("address flush dev eth0")
    yield
    world.guest.ip("address add 10.61.0.2/24 dev eth0")
    world.guest.ip("route replace default via 10.61.0.1")


@breaks("lease")
def the_guest_never_asked_for_an_address(world: World) -> Iterator[None]:
    with without_address(world):
        yield


@breaks("dhcp")
def the_dhcp_service_does_not_run(world: World) -> Iterator[None]:
    pid = Dhcp(world.lab.paths.run / "dnsmasq").pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: Dhcp(world.lab.paths.run / "dnsmasq").pid() is None)
    with without_address(world):
        yield
    world.apply()


@breaks("arp")
def the_guest_has_a_lease_and_dropped_its_address(world: World) -> Iterator[None]:
    with without_address(world):
        asking = ("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "20", "-T", "1")
        world.guest.run(*asking, "-s", "/bin/true")
        yield
    leases = world.lab.paths.run / "dnsmasq" / "leases"
    Dhcp(world.lab.paths.run / "dnsmasq").stop()
    leases.unlink()
    world.apply()


@breaks("arp")
def another_machine_has_the_address(world: World) -> Iterator[None]:
    with world.lab.namespace("other") as other, without_address(world):
        veth(world.host, "px0", other, "eth0", "52:00:00:00:01:99")
        world.host.ip("link set px0 master kw1")
        other.ip("address add 10.61.0.2/24 dev eth0")
        yield
        world.host.ip("link del px0")


@breaks("service")
def nothing_listens_in_the_guest(world: World) -> Iterator[None]:
    world.guest.close_servers()
    yield
    world.guest.tcp_server(80)


@breaks("service")
def the_guest_drops_the_port_itself(world: World) -> Iterator[None]:
    rule = "add rule ip own input tcp dport 80 drop"
    chain = "add chain ip own input { type filter hook input priority 0; }"
    world.guest.run("nft", f"add table ip own; {chain}; {rule}")
    yield
    world.guest.nft("delete table ip own")


@contextmanager
def without_route(world: World) -> Iterator[None]:
    world.guest.ip("route del default")
    yield
    world.guest.ip("route replace default via 10.61.0.1")


@breaks("return")
def the_guest_has_no_default_route(world: World) -> Iterator[None]:
    with without_route(world):
        yield


@pytest.mark.parametrize("what", list(breaks))
def test_what_is_broken_is_what_is_named(world: World, what: str) -> None:
    assert world.lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
    assert broken(world.why()) == ""
    with breaks.of(world, what) as key:
        assert broken(world.why()) == key
        assert world.lab.internet.ask_tcp(PUBLIC, 8080, 0.3) != OUTSIDE
    assert broken(world.why()) == ""


def test_where_a_port_leads_instead_is_for_operators(world: World) -> None:
    with breaks.of(world, "the forward leads elsewhere"):
        (step,) = [step for step in world.why() if step.key == "dnat"]
    assert "10.61.0.9" in step.detail
    assert "10.61.0.9" not in f"{step.found} {step.wanted} {step.remedy}"


def test_a_vm_that_is_off_is_named(world: World) -> None:
    assert broken(world.why(vm="off")) == "vm"
    assert broken(world.why(vm="running")) == ""
    (unknown,) = [step for step in world.why(vm="") if step.key == "vm"]
    assert unknown.verdict == "unknown"


def test_a_source_that_is_not_allowed_is_named(world: World) -> None:
    few = replace(world.forward, sources=("198.51.100.128/25",))
    world.apply(with_forwards(world.spec, few))
    assert broken(world.why(one=few)) == "sources"
    assert broken(world.why(one=few, source="198.51.100.200")) == ""
    assert world.lab.internet.ask_tcp(PUBLIC, 8080, 0.3) == ""
    world.apply()


def test_a_limit_that_is_reached_is_named(world: World) -> None:
    one = replace(world.forward, connections=1)
    world.apply(with_forwards(world.spec, one))
    with world.lab.internet.connect(PUBLIC, 8080) as held:
        assert held.recv(100)
        assert broken(world.why(one=one)) == "limits"
    world.apply()


def test_a_service_of_the_host_is_named(world: World) -> None:
    taken = forward(1, 2, world.reservation, public_port=8081)
    world.host.tcp_server(8081)
    with world.lab.reconciler() as reconciler:
        outcome = reconciler.apply(
            with_forwards(world.spec, world.forward, taken), lambda _step: None
        )
    assert list(outcome.attention) == [taken.id]
    assert broken(world.why(one=taken)) == "listener"
    world.host.close_servers()
    world.apply()


def test_every_port_of_a_range_and_a_whole_address_are_told(world: World) -> None:
    shifted = replace(forward(1, 4, world.reservation, public_port=9000), ports=3)
    kept = replace(forward(1, 5, world.reservation, public_port=78, port=78), ports=5)
    whole = replace(
        forward(1, 6, world.reservation, public_port=0, port=0),
        protocol="all",
        public_address=SECOND_PUBLIC,
    )
    spec = with_forwards(world.spec, world.forward, shifted, kept, whole)
    world.apply(spec)
    looker = Looker(paths=world.lab.paths, resolv_files=(world.lab.resolv,))

    def at(one: ForwardSpec, port: int) -> str:
        case = Case(network="", public_port=port)
        return broken(world.host.call(lambda: looker.forward(spec, world.reservation, one, case)))

    assert (at(shifted, 9000), at(shifted, 9001)) == ("", "service")
    assert (at(kept, 80), at(kept, 81)) == ("", "service")
    assert at(whole, 0) == "inbound"
    world.host.run("nft", f"delete element inet kvmweb whole4 {{ {SECOND_PUBLIC} }}")
    assert at(whole, 0) == "dnat"
    world.apply()


def test_udp_is_told_as_far_as_it_can_be_known(world: World) -> None:
    quiet = forward(1, 3, world.reservation, protocol="udp", public_port=8007, port=7)
    world.apply(with_forwards(world.spec, world.forward, quiet))
    assert broken(world.why(one=quiet)) == "service"
    with world.guest.udp_socket() as mute:
        mute.bind(("10.61.0.2", 7))
        service = next(s for s in world.why(one=quiet) if s.key == "service")
        assert service.verdict == "unknown"
    world.apply()


def test_a_rule_that_cannot_be_judged_makes_nobody_guilty(world: World) -> None:
    rule = "add rule inet mine forward meta mark 7 drop"
    chain = "add chain inet mine forward { type filter hook forward priority 5; }"
    world.host.run("nft", f"add table inet mine; {chain}; {rule}")
    steps = world.why()
    assert broken(steps) == ""
    (step,) = [s for s in steps if s.key == "chain:inet mine forward"]
    assert step.verdict == "unknown"
    world.host.nft("delete table inet mine")


def test_the_command_line_says_it_without_the_panel(world: World) -> None:
    SpecStore(world.lab.paths.specs, "network", NetworkSpec).accept(world.spec)
    config = world.lab.folder / "host.json"
    paths = {"state": str(world.lab.paths.state), "run": str(world.lab.paths.run)}
    keys = {"name": "h1", "key": "0123456789abcdef", "broker": "redis://127.0.0.1:1"}
    config.write_text(json.dumps(keys | paths | {"libvirt_uri": "test:///default"}))

    def say(*words: str) -> str:
        program = (sys.executable, "-m", "kvmweb.host", "explain", "--config", str(config))
        return world.host.run(*program, *words, check=False)

    assert "✗" not in say(f"{PUBLIC}:8080/tcp", "--from", OUTSIDE)
    with without_route(world):
        said = say(f"{PUBLIC}:8080")
    assert said.count("✗") == 1
    assert said.splitlines()[-3].startswith("✗ Answers find their way back")
    assert said.splitlines()[-1].startswith("    remedy: ")
    assert "The default route leads through up0" in say("guest12")
    assert "✗ The guest is reachable as a whole" in say("guest12", "--in", "80/tcp")
    assert say("198.51.100.99:1") == ""


def test_the_way_out_is_told_and_its_breaks_named(world: World) -> None:
    world.lab.internet.tcp_server(80)
    assert world.guest.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    steps = world.why_not_out()
    assert broken(steps) == ""
    assert {step.key: step.verdict for step in steps}["answers"] == "ok"

    assert broken(world.why_not_out(replace(world.spec, mode="isolated"))) == "mode"

    world.host.run("nft", "delete element inet kvmweb egress { kw1 }")
    assert broken(world.why_not_out()) == "nat"
    world.apply()

    world.host.ip(f"address del {SECOND_PUBLIC}/24 dev up0")
    assert broken(world.why_not_out()) == "address"
    world.host.ip(f"address add {SECOND_PUBLIC}/24 dev up0")

    world.host.ip("route del default")
    assert broken(world.why_not_out()) == "uplink"
    world.host.ip(f"route add default via {OUTSIDE}")

    kept = world.lab.resolv.read_text()
    world.lab.resolv.write_text("nameserver 127.0.0.53\n")
    dns = next(step for step in world.why_not_out() if step.key == "dns")
    assert dns.verdict == "unknown"
    world.lab.resolv.write_text(kept)
    assert broken(world.why_not_out()) == ""


def test_what_leaves_and_is_never_answered_is_said(world: World) -> None:
    world.host.run("conntrack", "-F")
    world.lab.internet.run("nft", "add table ip mute")
    world.lab.internet.run(
        "nft", "add chain ip mute input { type filter hook input priority 0; policy drop; }"
    )
    world.guest.ask_tcp(OUTSIDE, 80, 0.3)
    assert broken(world.why_not_out()) == "answers"
    world.lab.internet.nft("delete table ip mute")


def test_the_way_out_is_told_as_the_network_goes(world: World) -> None:
    web = EgressSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=80, last_port=443)
    listed = replace(world.spec, egress=(web,), source_pool=(PUBLIC, SECOND_PUBLIC))
    with applied(world, listed):
        steps = {step.key: step for step in world.why_not_out(listed)}
        assert steps["mode"].found == (
            "Guests may go where the network lists: tcp 80-443 to 0.0.0.0/0."
        )
        assert steps["nat"].found == f"Guests go out as {PUBLIC}, {SECOND_PUBLIC}."
        assert steps["address"].verdict == "ok"
        elsewhere = replace(listed, source_pool=(PUBLIC, "198.51.100.77"))
        missing = next(s for s in world.why_not_out(elsewhere) if s.key == "address")
        assert missing.found.startswith("Guests go out as 198.51.100.77, which no interface")
    routed = replace(world.spec, mode="routed")
    with applied(world, routed):
        steps = {step.key: step for step in world.why_not_out(routed)}
        assert steps["nat"].found == "Guests go out as themselves."


@contextmanager
def applied(world: World, spec: NetworkSpec) -> Iterator[None]:
    world.apply(spec)
    try:
        yield
    finally:
        world.apply()
