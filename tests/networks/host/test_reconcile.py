"""Applying, changing and removing networks on a real kernel, seen by `ip` and `nft`."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from networks.host.ops import (
    ChangeElements,
    CreateBridge,
    EnableForwarding,
    EndFlows,
    ReloadDhcp,
    RemoveDhcp,
    WriteDhcp,
)
from tests.networks.host.lab import (
    PUBLIC,
    SECOND_PUBLIC,
    Lab,
    absent,
    assert_converges,
    forward,
    network,
    with_forwards,
)

pytestmark = pytest.mark.kernel


def elements(lab: Lab, name: str) -> list[Any]:
    """What `nft` lists of a set or map of the inet table."""
    for found in lab.host.nft("list table inet kvmweb"):
        for kind in ("set", "map"):
            if found.get(kind, {}).get("name") == name:
                return list(found[kind].get("elem", []))
    raise AssertionError(f"no set {name}")


def test_a_network_is_in_the_kernel_after_apply(lab: Lab) -> None:
    spec = network()
    lab.cable(spec.reservations[0])
    spec = with_forwards(spec, forward(1, 1, spec.reservations[0]))
    lab.apply(spec)

    bridge = lab.host.ip("-d address show dev kw1")[0]
    assert bridge["address"] == spec.bridge_mac
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 0
    assert [(a["local"], a["prefixlen"]) for a in bridge["addr_info"]] == [("10.61.0.1", 24)]
    assert lab.host.ip("link show dev kt12")[0]["master"] == "kw1"
    forwards = elements(lab, "fwd4")
    assert forwards == [
        [
            {"elem": {"val": {"concat": [PUBLIC, "tcp", 8080]}, "comment": "kw1"}},
            {"concat": ["10.61.0.2", 80]},
        ]
    ]
    assert elements(lab, "snat4") == [[{"elem": {"val": "kw1", "comment": "kw1"}}, SECOND_PUBLIC]]


def test_forwarding_is_switched_on_per_interface_and_put_back(lab: Lab) -> None:
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, network())
        assert lab.host.sysctl("ipv4/ip_forward") == "0"
        assert lab.host.sysctl("ipv4/conf/up0/forwarding") == "1"
        assert lab.host.sysctl("ipv4/conf/kw1/forwarding") == "1"
        reconciler.remove_all()
    assert lab.host.sysctl("ipv4/conf/up0/forwarding") == "0"


def test_forwarding_that_was_on_before_stays_on(lab: Lab) -> None:
    lab.host.sysctl("ipv4/ip_forward", "1")
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, network())
        assert elements(lab, "closed") == []
        reconciler.remove_all()
    assert lab.host.sysctl("ipv4/conf/up0/forwarding") == "1"


def test_check_changes_nothing(lab: Lab) -> None:
    with lab.reconciler() as reconciler:
        ops = reconciler.check(network())
    assert any(isinstance(op, CreateBridge) for op in ops)
    assert [link["ifname"] for link in lab.host.ip("link")] == ["lo", "up0"]
    assert lab.host.nft("list tables")[1:] == []


def test_a_change_does_only_what_differs(lab: Lab) -> None:
    spec = network(guests=3)
    one, two = (forward(1, n, spec.reservations[0], public_port=8000 + n) for n in (1, 2))
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, with_forwards(spec, one))
        ops = reconciler.check(with_forwards(spec, one, two))
        assert [type(op) for op in ops] == [ChangeElements, ChangeElements]
        assert {e.name for op in ops if isinstance(op, ChangeElements) for e in op.add} == {
            "fwd4",
            "fwd4id",
            "acct_in",
            "acct_out",
            "acct_new",
        }
        assert_converges(reconciler, with_forwards(spec, one, two))
        ops = reconciler.check(with_forwards(spec, two))
        assert [type(op) for op in ops] == [ChangeElements, EndFlows, ChangeElements]
        fewer = replace(with_forwards(spec, one, two), reservations=spec.reservations[:2])
        ops = reconciler.check(fewer)
        assert [type(op) for op in ops] == [ChangeElements, RemoveDhcp, ReloadDhcp]
        assert_converges(reconciler, fewer)


def test_removing_one_of_two_networks_leaves_the_other(lab: Lab) -> None:
    first, second = network(1), network(2)
    first = with_forwards(first, forward(1, 1, first.reservations[0]))
    second = with_forwards(second, forward(2, 1, second.reservations[0], public_port=8081))
    lab.apply(first)
    lab.apply(second)
    lab.apply(absent(first))
    assert '"kw1"' not in lab.host.run("nft", "list", "ruleset")
    assert "kw1" not in str(lab.host.ip("link"))
    assert len(elements(lab, "fwd4")) == 1
    with lab.reconciler() as reconciler:
        assert reconciler.check(second) == ()


def test_rules_of_another_version_are_replaced_and_all_elements_come_back(lab: Lab) -> None:
    """A set that is of another type cannot stay, and its table with all others goes with it."""
    spec = network()
    spec = with_forwards(spec, forward(1, 1, spec.reservations[0]))
    lab.apply(spec)
    listed = ("nft", "-s", "list", "table", "inet", "kvmweb")
    before = lab.host.run(*listed)
    other = ("flush chain inet kvmweb forwards6", "delete map inet kvmweb fwd6")
    map6 = "add map inet kvmweb fwd6 { type ipv6_addr : ipv6_addr; }"
    lab.host.run("nft", "-f", "-", stdin="\n".join((*other, map6)))
    assert lab.host.run(*listed) != before
    lab.apply(spec)
    assert lab.host.run(*listed) == before


def test_removing_all_leaves_nothing(lab: Lab) -> None:
    before = lab.host.run("nft", "list", "ruleset"), lab.host.run("ip", "-br", "link")
    keys = ("ipv4/conf/up0/forwarding", "bridge/bridge-nf-call-iptables")
    sysctls = [lab.host.sysctl(key) for key in keys]
    with lab.reconciler() as reconciler:
        for number in (1, 2):
            assert_converges(reconciler, network(number))
        assert len(lab.host.pids()) == 1
        reconciler.remove_all()
        assert_converges(reconciler, absent(network()))
    assert lab.host.pids() == []
    assert (lab.host.run("nft", "list", "ruleset"), lab.host.run("ip", "-br", "link")) == before
    assert [lab.host.sysctl(key) for key in keys] == sysctls
    assert not list(lab.paths.run.iterdir())


def test_restore_puts_everything_back(lab: Lab) -> None:
    specs = [network(1), network(2)]
    for spec in specs:
        lab.cable(spec.reservations[0])
        lab.apply(spec)
    for bridge in ("kw1", "kw2"):
        lab.host.ip(f"link delete {bridge}")
    lab.host.run("nft", "flush", "ruleset")
    assert lab.host.nft("list tables")[1:] == []
    for pid in lab.host.pids():
        os.kill(pid, signal.SIGKILL)
    with lab.reconciler() as reconciler:
        outcomes = reconciler.restore(specs, lab.steps.append)
        assert [outcome.ok for outcome in outcomes] == [True, True]
        for spec in specs:
            assert reconciler.check(spec) == ()
    assert lab.host.ip("link show dev kt22")[0]["master"] == "kw2"
    assert len(lab.host.pids()) == 1


def test_owned_tables_survive_a_foreign_flush(lab: Lab) -> None:
    spec = network()
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
        lab.host.run("nft", "flush", "ruleset")
        assert reconciler.check(spec) == ()
        assert "table inet kvmweb" in lab.host.run("nft", "list", "tables")
    lab.host.run("nft", "flush", "ruleset")
    assert lab.host.nft("list tables")[1:] == []


@pytest.mark.parametrize(
    "damage",
    [
        ("nft", "delete", "element", "inet", "kvmweb", "masq", "{", "kw1", "}"),
        ("nft", "add", "element", "inet", "kvmweb", "egress", "{", "kw7", "}"),
        ("nft", "flush", "chain", "bridge", "kvmweb", "pre"),
        ("nft", "delete", "table", "bridge", "kvmweb"),
        ("nft", "add", "chain", "inet", "kvmweb", "stray"),
        ("ip", "link", "set", "kw1", "address", "56:00:00:00:00:99"),
        ("ip", "link", "set", "kw1", "mtu", "1400"),
        ("ip", "link", "set", "kw1", "type", "bridge", "stp_state", "1"),
        ("ip", "link", "set", "kw1", "down"),
        ("ip", "address", "flush", "dev", "kw1"),
        ("ip", "address", "add", "10.99.0.1/24", "dev", "kw1"),
        ("ip", "link", "set", "kt12", "nomaster"),
        ("ip", "link", "delete", "kw1"),
    ],
    ids=" ".join,
)
def test_what_somebody_broke_is_put_right(lab: Lab, damage: tuple[str, ...]) -> None:
    spec = network(source=None)
    lab.cable(spec.reservations[0])
    lab.apply(spec)
    lab.host.run(*damage)
    with lab.reconciler() as reconciler:
        assert reconciler.check(spec) != ()
        assert_converges(reconciler, spec)


def test_settings_somebody_changed_are_put_right(lab: Lab) -> None:
    spec = network()
    lab.apply(spec)
    lab.host.sysctl("ipv4/conf/up0/forwarding", "0")
    lab.host.sysctl("ipv6/conf/kw1/disable_ipv6", "0")
    with lab.reconciler() as reconciler:
        assert EnableForwarding("up0") in reconciler.check(spec)
        assert_converges(reconciler, spec)
    assert lab.host.sysctl("ipv6/conf/kw1/disable_ipv6") == "1"


def test_foreign_tables_are_left_as_they_are(lab: Lab) -> None:
    lab.host.run("nft", "-f", "-", stdin="table ip other { chain c { counter accept; }\n}\n")
    before = lab.host.run("nft", "-a", "list", "table", "ip", "other")
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, network())
        assert_converges(reconciler, absent(network()))
        reconciler.remove_all()
    assert lab.host.run("nft", "-a", "list", "table", "ip", "other") == before


def test_a_new_skeleton_keeps_elements_and_counters(lab: Lab) -> None:
    spec = network()
    lab.apply(with_forwards(spec, forward(1, 1, spec.reservations[0])))
    handle = lab.host.nft("list table inet kvmweb")[1]["table"]["handle"]
    (lab.paths.run / "nftables.json").unlink()
    lab.apply(with_forwards(spec, forward(1, 1, spec.reservations[0])))
    assert lab.host.nft("list table inet kvmweb")[1]["table"]["handle"] == handle


def test_two_workers_at_once_are_refused(lab: Lab) -> None:
    with lab.reconciler() as first, lab.reconciler() as second:
        assert_converges(first, network())
        outcome = second.apply(network(2), lab.steps.append)
    assert (outcome.ok, outcome.code) == (False, "tables_owned")


def test_an_element_the_kernel_refuses_stops_its_forward_alone(lab: Lab) -> None:
    first, second = network(1), network(2)
    taken = forward(1, 1, first.reservations[0], public_port=8080)
    lab.apply(with_forwards(first, taken))
    clash = forward(2, 1, second.reservations[0], public_port=8080)
    fine = forward(2, 2, second.reservations[0], public_port=8082)
    with lab.reconciler() as reconciler:
        outcome = reconciler.apply(with_forwards(second, clash, fine), lab.steps.append)
        assert outcome.ok
        assert list(outcome.attention) == [clash.id]
        assert PUBLIC in outcome.attention[clash.id]
        assert reconciler.check(with_forwards(second, fine)) == ()
        assert reconciler.check(with_forwards(first, taken)) == ()


def test_a_port_the_host_listens_on_is_refused_alone(lab: Lab) -> None:
    spec = network()
    lab.host.tcp_server(8080)
    lab.host.udp_server(8081, PUBLIC)
    forwards = [
        forward(1, 1, spec.reservations[0], public_port=8080),
        forward(1, 2, spec.reservations[0], public_port=8081, protocol="udp"),
        forward(1, 3, spec.reservations[0], public_port=8081),
    ]
    with lab.reconciler() as reconciler:
        outcome = reconciler.apply(with_forwards(spec, *forwards), lab.steps.append)
    assert outcome.ok
    assert set(outcome.attention) == {"forward-1-1", "forward-1-2"}
    assert outcome.observed["refused"] == {
        "forward-1-1": "port_in_use",
        "forward-1-2": "port_in_use",
    }
    assert len(elements(lab, "fwd4")) == 1


@pytest.mark.parametrize(
    ("subnet", "gateway"),
    [
        ("198.51.100.0/25", "198.51.100.1"),
        ("10.77.0.0/24", "10.77.0.1"),
        ("10.77.1.128/25", "10.77.1.129"),
        ("10.0.0.0/8", "10.0.0.1"),
        ("10.61.0.0/25", "10.61.0.1"),
    ],
)
def test_a_subnet_the_host_needs_is_refused(lab: Lab, subnet: str, gateway: str) -> None:
    lab.host.ip("route add 10.77.0.0/16 via 198.51.100.1")
    lab.apply(network(1))
    spec = replace(network(2), subnet=subnet, gateway=gateway, reservations=())
    before = lab.host.run("ip", "address")
    with lab.reconciler() as reconciler:
        outcome = reconciler.apply(spec, lab.steps.append)
    assert (outcome.ok, outcome.code) == (False, "subnet_overlaps_route")
    assert outcome.remedy
    assert lab.host.run("ip", "address") == before


def test_a_subnet_with_the_name_server_of_the_host_is_refused(lab: Lab) -> None:
    lab.resolv.write_text("nameserver 10.61.0.53\n")
    with lab.reconciler() as reconciler:
        outcome = reconciler.apply(network(1), lab.steps.append)
    assert outcome.code == "subnet_overlaps_route"


def test_a_missing_dnsmasq_is_told_with_a_remedy(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with lab.reconciler() as reconciler:
        outcome = reconciler.apply(network(1), lab.steps.append)
    assert outcome.code == "dnsmasq_missing"
    assert "dnsmasq-base" in outcome.remedy
    monkeypatch.undo()
    assert [link["ifname"] for link in lab.host.ip("link")] == ["lo", "up0"]


def test_steps_are_sentences_for_people(lab: Lab) -> None:
    spec = network()
    lab.cable(spec.reservations[0])
    lab.apply(with_forwards(spec, forward(1, 1, spec.reservations[0])))
    sentences = [step.sentence for step in lab.steps]
    assert "Created bridge kw1" in sentences
    assert "Gave bridge kw1 the address 10.61.0.1/24" in sentences
    assert any(f"Opened TCP {PUBLIC}:8080 to 10.61.0.2:80" in sentence for sentence in sentences)
    assert len({step.key for step in lab.steps}) == len(lab.steps)
    assert max(len(step.key) for step in lab.steps) <= 100


def test_dhcp_files_come_before_dnsmasq_starts(lab: Lab) -> None:
    with lab.reconciler() as reconciler:
        ops = reconciler.check(network())
    kinds = [type(op).__name__ for op in ops]
    assert kinds.index(WriteDhcp.__name__) < kinds.index("StartDhcp")
    assert kinds.index(ChangeElements.__name__) < kinds.index(WriteDhcp.__name__)
