"""What a host says of itself is checked before the panel believes it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from kvmweb.core.envelope import seal
from kvmweb.core.errors import Invalid
from kvmweb.host.config import HostConfig
from kvmweb.host.facts import HostFacts, Hypervisor, gather
from kvmweb.host.program.surroundings import surroundings
from kvmweb.hosts.models import Host
from kvmweb.hosts.reported import parse_facts
from kvmweb.hosts.tasks import heartbeat

IMPOSSIBLE: list[Any] = [
    [],
    "x",
    {"routes": ["garbage"]},
    {"routes": 5},
    {"addresses": [{}]},
    {"addresses": [{"address": "10.0.0.1", "prefix": 64, "interface": "up0"}]},
    {"listeners": [{"address": "zz", "protocol": "tcp", "port": 1}]},
    {"listeners": [{"address": "*", "protocol": "tcp", "port": 70_000}]},
    {"ephemeral_ports": ["a", "b"]},
    {"memory_mib": "x"},
    {"cpus": -5},
    {"disk_total_gib": None},
]


@pytest.mark.pure
@pytest.mark.parametrize("said", IMPOSSIBLE, ids=json.dumps)
def test_impossible_facts_are_refused(said: object) -> None:
    with pytest.raises(Invalid, match="cannot be true"):
        parse_facts(said)


@pytest.mark.pure
def test_facts_of_this_machine_are_taken_whole() -> None:
    config = HostConfig(name="h1", broker="redis://", key="k")
    facts = msgspec.to_builtins(gather(config, Hypervisor(), surroundings(config)))
    parsed = parse_facts(json.loads(json.dumps(facts)))
    assert set(parsed) == set(HostFacts.__dataclass_fields__)
    assert json.loads(json.dumps(parsed)) == json.loads(json.dumps(facts))


@pytest.mark.pure
def test_what_a_newer_host_adds_is_left_out() -> None:
    assert parse_facts({"cpus": 2, "moon": "full"}) == {"cpus": 2}


@pytest.mark.db
@pytest.mark.django_db
def test_impossible_facts_leave_those_known_before() -> None:
    host = Host.objects.create(name="h1", facts={"cpus": 2})
    said = {"process": "monitor", "at": "", "facts": {"cpus": -1}}
    heartbeat(dict(seal(host.name, host.key, said)))
    host.refresh_from_db()
    assert host.facts == {"cpus": 2}
    assert not host.is_silent
    heartbeat(dict(seal(host.name, host.key, said | {"facts": {"cpus": 4}})))
    host.refresh_from_db()
    assert host.facts == {"cpus": 4}
