"""What is in the way of networks is found in a real kernel, and told with a remedy that works."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmweb.host.config import HostPaths
from networks.host import survey
from networks.host.chains.judging import BaseChain
from networks.host.findings import Conntrack, Finding, Survey, findings
from networks.host.firewalls import Obstacle, obstacles
from tests.netns import Namespace
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    Lab,
    assert_converges,
    forward,
    network,
    with_forwards,
)

UFW = """
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:ufw-before-input - [0:0]
:ufw-before-forward - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""
FIREWALLD = """
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority 10; policy accept;
        ct state { established, related } accept
        iifname "lo" accept
        reject with icmpx admin-prohibited
    }
}
"""


@pytest.fixture
def machine() -> Iterator[Namespace]:
    with Namespace("fw") as namespace:
        yield namespace


def found(machine: Namespace) -> list[Obstacle]:
    return machine.call(survey.firewalls)


@pytest.mark.kernel
@pytest.mark.parametrize("program", ["iptables", "iptables-legacy"])
def test_docker_is_told_where_it_expects_it(lab: Lab, program: str) -> None:
    """No packet passes before the remedy, and it does after it."""
    spec = network(guests=1, source=None)
    guest = lab.guest(spec.reservations[0], spec)
    guest.tcp_server(80)
    lab.internet.tcp_server(80)
    lab.host.run(program, "-P", "FORWARD", "DROP")
    lab.host.run(program, "-N", "DOCKER-USER")
    lab.host.run(program, "-I", "FORWARD", "-j", "DOCKER-USER")
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, with_forwards(spec, forward(1, 1, spec.reservations[0])))
        (obstacle,) = found(lab.host)
        assert (obstacle.tool, obstacle.surely) == ("Docker", True)
        assert obstacle.chain.endswith("filter FORWARD")
        assert "DOCKER-USER" in obstacle.does
        assert lab.internet.ask_tcp(PUBLIC, 8080, 0.4) == ""
        lab.host.run("sh", "-ec", obstacle.does)
        assert found(lab.host) == []
        assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
        assert guest.ask_tcp(OUTSIDE, 80) == PUBLIC


@pytest.mark.kernel
def test_ufw_keeps_guests_from_the_outside_and_from_dhcp(machine: Namespace) -> None:
    machine.run("iptables-restore", stdin=UFW)
    by_hook = {obstacle.hook: obstacle for obstacle in found(machine)}
    assert {obstacle.tool for obstacle in by_hook.values()} == {"ufw"}
    assert by_hook["forward"].does == "ufw route allow in on kw+; ufw route allow out on kw+"
    assert by_hook["input"].does == "ufw allow in on kw+"


@pytest.mark.kernel
def test_a_final_reject_stands_in_the_way_as_a_policy_does(machine: Namespace) -> None:
    machine.run("nft", "-f", "-", stdin=FIREWALLD)
    (obstacle,) = found(machine)
    assert (obstacle.tool, obstacle.surely) == ("firewalld", True)
    assert obstacle.does.startswith("firewall-cmd --permanent --zone=trusted")
    machine.nft('insert rule inet firewalld filter_FORWARD iifname "kw*" accept')
    machine.nft('insert rule inet firewalld filter_FORWARD oifname "kw*" accept')
    assert found(machine) == []


@pytest.mark.kernel
def test_a_table_of_nobody_known_is_left_to_whoever_wrote_it(machine: Namespace) -> None:
    machine.nft("add table inet mine")
    machine.nft("add chain inet mine out { type filter hook forward priority 0 ; policy drop ; }")
    (obstacle,) = found(machine)
    assert (obstacle.tool, obstacle.is_ours_to_apply) == ("nftables", False)
    machine.run("sh", "-ec", obstacle.does)
    assert found(machine) == []


@pytest.mark.kernel
def test_our_own_table_and_a_machine_without_firewall_are_no_obstacle(machine: Namespace) -> None:
    assert found(machine) == []
    machine.nft("add table inet kvmweb")
    machine.nft("add chain inet kvmweb f { type filter hook forward priority 0 ; policy drop ; }")
    assert found(machine) == []


@pytest.mark.kernel
def test_another_dhcp_server_is_named(machine: Namespace, tmp_path: Path) -> None:
    paths = HostPaths.under(tmp_path, tmp_path)

    def ids() -> list[str]:
        return [one.id for one in machine.call(lambda: survey.found(paths)) if "dhcp" in one.id]

    assert ids() == []
    with machine.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 67))
        (found_id,) = ids()
    name = Path("/proc/self/comm").read_text().strip()
    assert found_id == f"dhcp:{name}"
    assert ids() == []


@pytest.mark.kernel
def test_the_dhcp_server_of_our_own_is_none(lab: Lab) -> None:
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, network(guests=1, source=None))
        seen = lab.host.call(lambda: survey.look(lab.paths))
    assert seen.served
    assert seen.dhcp == ()
    assert seen.uplinks == ("up0",)
    assert seen.conntrack is not None
    assert seen.conntrack.most > 0


@pytest.mark.kernel
def test_settings_of_the_host_are_seen(lab: Lab) -> None:
    lab.host.ip("link add docker0 type bridge")
    lab.host.ip("link add virbr0 type bridge")
    lab.host.ip("address add 192.168.122.1/24 dev virbr0")
    lab.host.sysctl("ipv4/ip_forward", "1")
    lab.host.sysctl("ipv4/conf/up0/rp_filter", "1")
    lab.host.sysctl("bridge/bridge-nf-call-iptables", "1")
    seen = lab.host.call(lambda: survey.look(lab.paths))
    assert seen.router
    assert seen.rp_filter == {"up0": 1}
    assert seen.filters_bridged
    assert seen.foreign_bridges == ("docker0",)
    assert seen.libvirt == ("192.168.122.0/24 on virbr0",)
    assert {"router", "br-netfilter", "libvirt"} <= {one.id for one in findings(seen)}


BLOCKING = BaseChain("ip filter FORWARD", "FORWARD", drops=True)
FULL = Conntrack(count=97, most=100)
CASES: dict[str, tuple[Survey, str, str]] = {
    "firewall:forward:ip filter FORWARD": (Survey(forward=(BLOCKING,)), "bad", "iptables-nft"),
    "firewall:input:ip filter INPUT": (
        Survey(incoming=(BaseChain("ip filter INPUT", "INPUT", drops=True),)),
        "bad",
        "-i kw+",
    ),
    "nftables-service": (Survey(flushes="/etc/nftables.conf"), "warn", "/etc/nftables.conf"),
    "dhcp:kea": (Survey(dhcp=("kea",)), "bad", "kea"),
    "br-netfilter": (
        Survey(forward=(BLOCKING,), filters_bridged=True, foreign_bridges=("docker0",)),
        "warn",
        "bridge-nf-call-iptables=0",
    ),
    "rp-filter": (
        Survey(uplinks=("a", "b"), rp_filter={"a": 1, "b": 2}),
        "warn",
        "net.ipv4.conf.a.rp_filter=2.",
    ),
    "conntrack": (Survey(conntrack=FULL), "bad", "nf_conntrack_max=200"),
    "conntrack-refused": (
        Survey(conntrack=Conntrack(count=1, most=100, refused=7)),
        "note",
        "nf_conntrack_max=200",
    ),
    "guest-connections": (Survey(limited=1200), "note", "flows"),
    "inotify": (Survey(dnsmasqs=122, inotify_instances=128), "warn", "max_user_instances=1024"),
    "libvirt": (Survey(libvirt=("192.168.122.0/24 on virbr0",)), "note", "net-destroy"),
    "router": (Survey(router=True), "note", "ip_forward=0"),
    "unread:rules": (Survey(unread=("rules",)), "note", "iptables"),
}


@pytest.mark.pure
@pytest.mark.parametrize("name", CASES)
def test_each_finding_says_what_it_breaks_and_the_exact_remedy(name: str) -> None:
    seen, level, remedy = CASES[name]
    finding = next(one for one in findings(seen) if one.id == name)
    assert finding.level == level
    assert remedy in finding.remedy
    assert finding.found
    assert finding.breaks


@pytest.mark.pure
@pytest.mark.parametrize(
    "harmless",
    [
        Survey(),
        Survey(conntrack=Conntrack(count=79, most=100)),
        Survey(uplinks=("a",), rp_filter={"a": 1}),
        Survey(uplinks=("a", "b"), rp_filter={"a": 2, "b": 0}),
        Survey(dnsmasqs=1, inotify_instances=128),
        Survey(filters_bridged=True),
    ],
    ids=str,
)
def test_nothing_is_made_of_what_breaks_nothing(harmless: Survey) -> None:
    assert findings(harmless) == ()


@pytest.mark.pure
def test_the_worst_comes_first_and_owned_tables_fear_no_flush() -> None:
    seen = Survey(
        router=True, conntrack=FULL, flushes="/etc/nftables.conf", owned=True, dnsmasqs=125,
        inotify_instances=128,
    )  # fmt: skip
    assert [finding.level for finding in findings(seen)] == ["bad", "warn", "note", "note"]


@pytest.mark.pure
def test_only_what_is_ours_to_apply_says_what_it_does() -> None:
    mine = BaseChain("inet mine out", "out", drops=True)
    ours, theirs = (findings(Survey(forward=(chain,)))[0] for chain in (BLOCKING, mine))
    assert ours.does == " ".join(ours.commands[0]) + "; " + " ".join(ours.commands[1])
    assert (theirs.does, theirs.commands) == ("", ())
    assert isinstance(theirs, Finding)
    assert list(obstacles((), (), ())) == []


@pytest.mark.pure
@pytest.mark.parametrize(
    ("text", "enabled", "flushes"),
    [
        ("#!/usr/sbin/nft -f\n\nflush ruleset\n", True, True),
        ("  flush  ruleset\n", True, True),
        ("# flush ruleset\ntable inet mine\n", True, False),
        ("flush ruleset\n", False, False),
    ],
)
def test_the_nftables_service_matters_if_it_is_enabled_and_flushes(
    tmp_path: Path, text: str, enabled: bool, flushes: bool
) -> None:
    conf, wants = tmp_path / "nftables.conf", tmp_path / "units" / "sysinit.target.wants"
    conf.write_text(text)
    wants.mkdir(parents=True)
    if enabled:
        (wants / "nftables.service").symlink_to("/lib/systemd/system/nftables.service")
    assert survey.flushing(conf, tmp_path / "units") == (str(conf) if flushes else "")
