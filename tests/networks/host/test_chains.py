"""What other firewalls do with a packet, told from their rules alone and held against packets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvmweb.host.config import HostPaths
from networks.host.case import explain
from networks.host.chains.iptables import iptables_base_chains
from networks.host.chains.judging import BaseChain, Packet, judge
from networks.host.chains.nft import nft_base_chains
from networks.host.explain.steps import Case
from networks.host.facts import Looker
from tests.networks.host.lab import network

pytestmark = pytest.mark.pure

NEW = Packet(
    iif="up0",
    oif="kw1",
    source="198.51.100.1",
    destination="10.61.0.2",
    protocol="tcp",
    dport=80,
    dnat=True,
)
REPLY = replace(
    NEW,
    iif="kw1",
    oif="up0",
    source="10.61.0.2",
    destination="198.51.100.1",
    sport=80,
    dport=0,
    state="established",
)

DOCKER = """
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
{user}-A DOCKER-USER -j RETURN
COMMIT
"""
UFW = """
*filter
:FORWARD DROP [0:0]
:ufw-before-forward - [0:0]
:ufw-reject-forward - [0:0]
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-reject-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
COMMIT
"""


def chain(text: str) -> BaseChain:
    (found,) = iptables_base_chains(text, "iptables")
    return found


def test_docker_drops_what_it_does_not_know() -> None:
    judged = judge(chain(DOCKER.format(user="")), NEW)
    assert judged.drops
    assert judged.label == "iptables filter FORWARD"
    assert judged.why == "its policy is to drop"
    assert judge(chain(DOCKER.format(user="")), REPLY).drops


def test_what_its_user_chain_accepts_passes_docker() -> None:
    both = "-A DOCKER-USER -i kw+ -j ACCEPT\n-A DOCKER-USER -o kw+ -j ACCEPT\n"
    assert judge(chain(DOCKER.format(user=both)), NEW).passes
    assert judge(chain(DOCKER.format(user=both)), REPLY).passes
    one = "-A DOCKER-USER -o kw+ -j ACCEPT\n"
    assert judge(chain(DOCKER.format(user=one)), REPLY).drops


def test_ufw_drops_new_connections_and_lets_old_ones_live() -> None:
    assert judge(chain(UFW), NEW).drops
    assert judge(chain(UFW), REPLY).passes


@pytest.mark.parametrize(
    ("rule", "may"),
    [
        ("-p tcp -m tcp --dport 80 -j DROP", {"drop"}),
        ("-p tcp -m tcp --dport 81:90 -j DROP", {"accept"}),
        ("-p udp -m udp --dport 80 -j DROP", {"accept"}),
        ("-p tcp -m multiport --dports 22,80 -j REJECT --reject-with tcp-reset", {"drop"}),
        ("! -s 198.51.100.0/24 -j DROP", {"accept"}),
        ("-s 198.51.100.0/24 -j DROP", {"drop"}),
        ("-m mark --mark 0x1 -j DROP", {"accept", "drop"}),
        ("-m conntrack --ctstate DNAT -j DROP", {"drop"}),
        ("-m addrtype --dst-type LOCAL -j DROP", {"accept"}),
        ("-j LOG --log-prefix x", {"accept"}),
        ("-g NOWHERE", {"accept"}),
        ("-m set --match-set bad src -j ACCEPT", {"accept"}),
    ],
)
def test_one_rule_before_an_accepting_policy(rule: str, may: set[str]) -> None:
    text = f"*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD {rule}\nCOMMIT\n"
    assert judge(chain(text), NEW).may == may


def test_a_source_that_is_not_known_may_be_dropped() -> None:
    text = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -s 192.0.2.0/24 -j DROP\nCOMMIT\n"
    assert judge(chain(text), replace(NEW, source=None)).may == {"accept", "drop"}


def test_a_network_without_ipv6_says_so() -> None:
    plain = network(1, guests=1)
    case = Case(network=plain.subject, reservation=plain.reservations[0].id, destination="2001::1")
    (step,) = explain(Looker(paths=HostPaths()), lambda _: plain, case)
    assert (step.key, step.verdict) == ("family", "broken")


@pytest.mark.parametrize(
    ("match", "version", "drops"),
    [
        ({"protocol": "ip", "field": "saddr"}, 6, False),
        ({"protocol": "ip6", "field": "saddr"}, 6, True),
        ({"protocol": "ip6", "field": "saddr"}, 4, False),
    ],
)
def test_a_rule_about_one_family_leaves_the_other_alone(
    match: dict[str, str], version: int, drops: bool
) -> None:
    other = {"prefix": {"addr": "192.0.2.0", "len": 24}}
    if match["protocol"] == "ip6":
        other = {"prefix": {"addr": "2001:db8:9::", "len": 48}}
    statement = {"match": {"op": "!=", "left": {"payload": match}, "right": other}}
    place = {"family": "inet", "table": "mine"}
    (made,) = nft_base_chains(
        [
            {"chain": {**place, "name": "f", "hook": "forward", "policy": "accept"}},
            {"rule": {**place, "chain": "f", "expr": [statement, {"drop": None}]}},
        ]
    )
    six = replace(NEW, source="2001:db8::1", destination="2001:db8::2", family="ipv6")
    assert judge(made, six if version == 6 else NEW).drops is drops


def test_chains_that_go_in_circles_end() -> None:
    text = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j A\n-A A -j A\nCOMMIT\n"
    assert judge(chain(text), NEW).drops
