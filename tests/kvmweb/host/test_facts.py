"""Facts are what a namespace looks like from outside, without what is ours in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kvmweb.host.config import HostConfig, HostPaths
from kvmweb.host.facts import Hypervisor, Surroundings, gather, version_text

GATHER = """
import msgspec, sys
from pathlib import Path
from kvmweb.host.config import HostConfig, HostPaths
from kvmweb.host.facts import Hypervisor, gather
from kvmweb.host.program.surroundings import surroundings
paths = HostPaths.under(Path(sys.argv[1]), Path(sys.argv[1]))
config = HostConfig(name="h1", broker="", key="", paths=paths)
print(msgspec.json.encode(gather(config, Hypervisor(), surroundings(config))).decode())
"""


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"kwf{uuid4().hex[:8]}"
    run("ip", "netns", "add", name)
    yield name
    run("ip", "netns", "delete", name)


@pytest.mark.kernel
def test_facts_of_a_namespace(namespace: str, tmp_path: Path) -> None:
    for command in (
        "link set lo up",
        "link add up0 type veth peer name up1",
        "link set up0 up",
        "link set up1 up",
        "address add 198.51.100.5/24 dev up0",
        "link add kw1 type bridge",
        "link set kw1 up",
        "address add 10.60.0.1/24 dev kw1",
        "route add 10.77.0.0/16 via 198.51.100.9",
        "route add default via 198.51.100.1",
    ):
        run("ip", "-n", namespace, *command.split())
    python = [sys.executable, "-c", GATHER, str(tmp_path)]
    facts: dict[str, Any] = json.loads(run("ip", "netns", "exec", namespace, *python))
    assert {"address": "198.51.100.5", "prefix": 24, "interface": "up0"} in facts["addresses"]
    assert all(entry["interface"] != "kw1" for entry in facts["addresses"])
    assert facts["routes"] == ["10.77.0.0/16", "198.51.100.0/24"]
    assert facts["uplinks"] == ["up0"]
    assert facts["listeners"] == []
    assert facts["memory_mib"] > facts["memory_available_mib"] > 0
    assert facts["ephemeral_ports"][0] < facts["ephemeral_ports"][1]


@pytest.mark.pure
def test_what_is_configured_and_what_libvirt_says_is_passed_on(tmp_path: Path) -> None:
    paths = HostPaths.under(tmp_path / "not" / "yet", tmp_path)
    config = HostConfig(name="h1", broker="", key="", paths=paths, uplinks=("eth9",))
    facts = gather(
        config,
        Hypervisor(libvirt_version="9.0.0", accelerator="tcg"),
        Surroundings(uplinks=("eth0",)),
    )
    assert (facts.libvirt_version, facts.qemu_version, facts.accelerator) == ("9.0.0", None, "tcg")
    assert facts.uplinks == ("eth9",)
    assert facts.disk_total_gib >= facts.disk_free_gib > 0


@pytest.mark.pure
def test_version_numbers_read_as_people_write_them() -> None:
    assert version_text(9_000_000) == "9.0.0"
    assert version_text(7_002_015) == "7.2.15"
