"""Other people's firewalls, loaded into a real kernel, are named with their remedy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvmweb.server.firewalls import Obstacle, obstacles
from tests.netns import Namespace

pytestmark = pytest.mark.kernel


@pytest.fixture
def machine() -> Iterator[Namespace]:
    with Namespace("fw") as namespace:
        yield namespace


def found(machine: Namespace) -> list[Obstacle]:
    return machine.call(obstacles)


def test_a_machine_without_a_firewall_has_no_obstacle(machine: Namespace) -> None:
    assert found(machine) == []


@pytest.mark.parametrize("program", ["iptables", "iptables-legacy"])
def test_docker_is_named_with_the_rules_that_let_guests_through(
    machine: Namespace, program: str
) -> None:
    machine.run(program, "-P", "FORWARD", "DROP")
    machine.run(program, "-N", "DOCKER-USER")
    machine.run(program, "-I", "FORWARD", "-j", "DOCKER-USER")
    [obstacle] = found(machine)
    assert obstacle.tool == "Docker"
    assert obstacle.chain == "FORWARD"
    assert "filter" in obstacle.table
    for rule in obstacle.remedy.split("; "):
        machine.run(*rule.split())
    assert found(machine) == []


def test_ufw_is_named_by_its_own_chains(machine: Namespace) -> None:
    machine.run("iptables", "-P", "FORWARD", "DROP")
    machine.run("iptables", "-N", "ufw-before-forward")
    machine.run("iptables", "-A", "FORWARD", "-j", "ufw-before-forward")
    [obstacle] = found(machine)
    assert obstacle.tool == "ufw"
    assert obstacle.remedy.startswith("ufw route allow in on kw+")


def test_a_final_reject_stands_in_the_way_as_a_policy_does(machine: Namespace) -> None:
    machine.nft("add table inet firewalld")
    machine.nft(
        "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10 ; }"
    )
    machine.nft("add rule inet firewalld filter_FORWARD ct state established accept")
    machine.nft("add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited")
    [obstacle] = found(machine)
    assert obstacle.tool == "firewalld"
    assert obstacle.chain == "filter_FORWARD"


def test_a_table_of_nobody_known_gets_rules_in_its_own_words(machine: Namespace) -> None:
    machine.nft("add table inet mine")
    machine.nft("add chain inet mine out { type filter hook forward priority 0 ; policy drop ; }")
    [obstacle] = found(machine)
    assert obstacle.sentence == (
        "nftables: chain out of table inet mine drops by policy what no rule accepts."
    )
    for command in obstacle.remedy.split("; "):
        machine.run(*[word.strip('"') for word in command.split()])
    assert found(machine) == []


def test_our_own_table_is_no_obstacle(machine: Namespace) -> None:
    machine.nft("add table inet kvmweb")
    machine.nft(
        "add chain inet kvmweb forward { type filter hook forward priority 0 ; policy drop ; }"
    )
    assert found(machine) == []
