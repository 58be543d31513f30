"""Beside docker, ufw, firewalld and libvirt: what they break is named, what mends it is enough, and
afterwards nobody reaches more than before.

The rules are those the programs write, loaded on the host of a lab.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from networks.host.chains.judging import Packet, judge
from networks.host.drivers.foreign import forward_chains
from networks.host.survey import firewalls
from tests.netns import Namespace
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, forward, network, with_forwards

pytestmark = pytest.mark.kernel

OTHERS = Path(__file__).parent / "others"
BRIEF = 0.4
ALL = {"in", "out", "across"}
# A zone of firewalld whose target is ACCEPT, with our bridges in it: what `firewall-cmd
# --permanent --zone=trusted --add-interface=kw+` has it write.
TRUSTED = (
    "nft insert rule inet firewalld filter_FORWARD_ZONES iifname 'kw*' accept",
    "nft insert rule inet firewalld filter_FORWARD_ZONES oifname 'kw*' accept",
    "nft insert rule inet firewalld filter_INPUT_ZONES iifname 'kw*' accept",
)
# What `ufw route allow in on kw+; ufw route allow out on kw+` has it write.
ROUTE_ALLOWED = (
    "iptables-nft -A ufw-user-forward -i kw+ -j ACCEPT",
    "iptables-nft -A ufw-user-forward -o kw+ -j ACCEPT",
)


class Other(NamedTuple):
    """A program: the chains in the way of our packets, what then does not pass, what mends it
    beside the product's own remedies."""

    file: str
    chains: set[str]
    broken: set[str]
    remedies: tuple[str, ...] = ()


PROGRAMS = [
    Other("docker.iptables", {"ip filter FORWARD"}, ALL),
    Other("ufw.iptables", {"ip filter FORWARD"}, ALL, ROUTE_ALLOWED),
    Other("firewalld.nft", {"inet firewalld filter_FORWARD"}, {"out"}, TRUSTED),
    Other("libvirt.iptables", set(), set()),
]


class World:
    """Network 1 has a guest with a forward, network 2 one without; the host has a service."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        one, two = network(1, guests=1, source=None), network(2, guests=1, source=None)
        self.a, self.c = (lab.guest(spec.reservations[0], spec) for spec in (one, two))
        self.c_address = two.reservations[0].address
        for server in (self.a, self.c, lab.internet):
            server.tcp_server(80)
        lab.host.tcp_server(2222)
        lab.apply(with_forwards(one, forward(1, 1, one.reservations[0])))
        lab.apply(two)

    def load(self, file: str) -> None:
        """Have the host the other program's rules."""
        command = ["nft", "-f"] if file.endswith(".nft") else ["iptables-nft-restore"]
        self.lab.host.run(*command, str(OTHERS / file))

    def passing(self, patience: float) -> set[str]:
        """Which of the ways are open."""
        ways: dict[str, tuple[Namespace, str, int]] = {
            "in": (self.lab.internet, PUBLIC, 8080),
            "out": (self.a, OUTSIDE, 80),
            "across": (self.c, PUBLIC, 8080),
        }
        return {name for name, way in ways.items() if way[0].ask_tcp(*way[1:], patience)}

    def leaks(self) -> set[str]:
        """What must never be open."""
        ways = {
            "to another network": (self.a, self.c_address, 80),
            "to a service of the host": (self.a, "10.61.0.1", 2222),
            "to the host's public side": (self.a, PUBLIC, 2222),
        }
        return {name for name, way in ways.items() if way[0].ask_tcp(*way[1:], BRIEF)}


def named(lab: Lab) -> set[str]:
    """The foreign chains that the product says drop packets of ours, by family, table and name."""
    new = Packet(
        iif="up0",
        oif="kw1",
        source=OUTSIDE,
        destination="10.61.0.2",
        protocol="tcp",
        dport=80,
        dnat=True,
    )
    leaving = replace(
        new, iif="kw1", oif="up0", source="10.61.0.2", destination=OUTSIDE, dnat=False
    )
    with lab.host.entered():
        chains, unread = forward_chains()
    assert unread == []
    return {
        judged.label
        for chain in chains
        for packet in (new, leaving)
        if (judged := judge(chain, packet)).drops
    }


def remedies(lab: Lab) -> list[str]:
    """The commands that the product tells people to run, but for those of programs that are not
    here: `Other.remedies` is what these would write."""
    return [
        " ".join(command)
        for obstacle in lab.host.call(firewalls)
        for command in obstacle.commands
        if command[0].startswith("iptables")
    ]


@pytest.mark.parametrize("other", PROGRAMS, ids=lambda other: other.file)
def test_what_others_break_is_named_and_what_mends_it_opens_no_more(lab: Lab, other: Other) -> None:
    world = World(lab)
    assert world.passing(5.0) == ALL
    world.load(other.file)
    assert world.passing(BRIEF) == ALL - other.broken
    assert named(lab) == other.chains
    for command in (*remedies(lab), *other.remedies):
        lab.host.run("sh", "-c", command)
    assert named(lab) == set()
    assert world.passing(5.0) == ALL
    assert world.leaks() == set()


def test_guests_get_their_address_beside_a_firewall_that_lets_bridges_in(lab: Lab) -> None:
    """ufw denies what comes to the host, so DHCP too, until its own list has our bridges."""
    world = World(lab)
    world.load("ufw.iptables")
    assert not _leases(lab)
    lab.host.run("iptables-nft", "-I", "ufw-before-input", "-i", "kw+", "-j", "ACCEPT")
    assert _leases(lab)
    assert world.leaks() == set()


def _leases(lab: Lab) -> bool:
    """Whether the guest of network 3 is offered its address."""
    spec = network(3, guests=1, source=None)
    lab.apply(spec)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    words = "busybox udhcpc -i eth0 -n -q -f -t 3 -T 1 -s /bin/true 2>&1"
    said = guest.run("sh", "-c", words, check=False)
    lab.host.ip(f"link delete {spec.reservations[0].port}")
    return "10.63.0.2" in said
