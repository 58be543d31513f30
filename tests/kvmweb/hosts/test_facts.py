"""Questions about a host, answered from what it said last."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network

import pytest
from django.utils import timezone

from kvmweb.core.errors import Invalid
from kvmweb.hosts import facts
from kvmweb.hosts.models import Host

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_a_host_not_heard_yet_knows_nothing() -> None:
    host = Host(name="new")
    assert list(facts.taken_networks(host)) == []
    assert facts.listening_ports(host, "198.51.100.11") == set()
    assert facts.ephemeral_ports(host) == facts.DEFAULT_EPHEMERAL
    assert (facts.total_cpus(host), facts.total_memory_mib(host)) == (None, None)
    assert host.is_silent


def test_default_routes_and_ipv6_take_no_subnet() -> None:
    host = Host(
        facts={
            "routes": ["0.0.0.0/0", "fd00::/64", "10.1.0.0/16"],
            "addresses": [{"address": "fe80::1", "prefix": 64}],
        }
    )
    assert [network for network, _ in facts.taken_networks(host)] == [IPv4Network("10.1.0.0/16")]


def test_networks_of_libvirt_take_their_subnets_though_they_do_not_run() -> None:
    entries = [{"name": "default", "subnet": each} for each in ("192.168.122.0/24", "fd12::/64")]
    host = Host(facts={"libvirt_networks": entries})
    ((network, words),) = facts.taken_networks(host)
    assert network == IPv4Network("192.168.122.0/24")
    assert words == "network “default” of libvirt on the host (192.168.122.0/24)"
    ((network6, _),) = facts.taken_networks6(host)
    assert str(network6) == "fd12::/64"


def test_a_listener_counts_on_its_address_and_on_all() -> None:
    listeners = [
        {"protocol": "tcp", "address": "0.0.0.0", "port": 1},  # noqa: S104
        {"protocol": "tcp", "address": "::", "port": 2},
        {"protocol": "udp", "address": "198.51.100.11", "port": 3},
        {"protocol": "tcp", "address": "127.0.0.1", "port": 4},
        {"protocol": "tcp", "address": "fe80::1%eth0", "port": 5},
    ]
    host = Host(facts={"listeners": listeners})
    assert facts.listening_ports(host, "198.51.100.11") == {("tcp", 1), ("tcp", 2), ("udp", 3)}


def test_the_first_host_that_answers_is_chosen(host: Host) -> None:
    Host.objects.create(name="a-silent-one")
    assert facts.choose_host() == host
    Host.objects.filter(pk=host.pk).update(maintenance=True)
    assert facts.choose_host().name == "a-silent-one"
    Host.objects.update(maintenance=True)
    with pytest.raises(Invalid) as caught:
        facts.choose_host()
    assert caught.value.field == "host"
    assert caught.value.remedy


def test_a_host_is_silent_after_a_while(host: Host) -> None:
    assert host.state.value == "active"
    host.monitor_seen_at = timezone.now() - timedelta(minutes=5)
    assert host.state.value == "host_not_answering"
