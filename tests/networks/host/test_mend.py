"""A host runs the remedies it would propose itself, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from kvmweb.core.envelope import seal
from kvmweb.host.config import HostConfig, HostPaths
from kvmweb.host.post import MENDED, Outbox
from networks.host.mend import TASK, add_mend_task, mended
from networks.host.survey import firewalls
from tests.netns import Namespace

pytestmark = pytest.mark.kernel

FORWARD = "firewall:forward:ip filter FORWARD"


@pytest.fixture
def machine() -> Iterator[Namespace]:
    with Namespace("mend") as namespace:
        yield namespace


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    paths = HostPaths.under(tmp_path / "state", tmp_path / "run")
    return HostConfig(name="h1", broker="memory://", key="k" * 16, paths=paths)


def block(machine: Namespace) -> None:
    machine.run("iptables-nft", "-P", "FORWARD", "DROP")
    machine.run("iptables-nft", "-N", "DOCKER-USER")
    machine.run("iptables-nft", "-I", "FORWARD", "-j", "DOCKER-USER")


def test_docker_lets_our_bridges_through_afterwards(machine: Namespace, config: HostConfig) -> None:
    block(machine)
    assert machine.call(lambda: mended(config, FORWARD)) == ""
    assert machine.call(firewalls) == []
    rules = machine.run("iptables-nft", "-S", "DOCKER-USER")
    assert "-i kw+ -j ACCEPT" in rules
    assert "-o kw+ -j ACCEPT" in rules
    assert machine.call(lambda: mended(config, FORWARD)) == ""  # done already, and not done twice
    assert machine.run("iptables-nft", "-S", "DOCKER-USER") == rules


def test_what_does_not_help_says_so(machine: Namespace, config: HostConfig) -> None:
    """A ufw without the program: nothing that could be told to it."""
    machine.run("iptables-nft", "-P", "FORWARD", "DROP")
    machine.run("iptables-nft", "-N", "ufw-before-forward")
    machine.run("iptables-nft", "-A", "FORWARD", "-j", "ufw-before-forward")
    assert machine.call(lambda: mended(config, FORWARD)).startswith("“ufw route allow in on kw+”")


def test_tables_of_nobody_known_are_never_written(machine: Namespace, config: HostConfig) -> None:
    machine.nft("add table inet mine")
    machine.nft("add chain inet mine out { type filter hook forward priority 0 ; policy drop ; }")
    before = machine.nft("list ruleset")
    message = machine.call(lambda: mended(config, "firewall:forward:inet mine out"))
    assert message.startswith("This host cannot do that by itself.")
    assert machine.nft("list ruleset") == before


def test_only_what_the_panel_sealed_is_heard(machine: Namespace, config: HostConfig) -> None:
    block(machine)
    app = Celery("test", broker="memory://")
    outbox = Outbox(config.paths.outbox)
    add_mend_task(app, config, outbox)
    task = app.tasks[TASK]
    asked = {"id": "1", "finding": FORWARD}
    machine.call(lambda: task(dict(seal("h1", "another key of it", asked))))
    machine.call(lambda: task(dict(seal("h1", config.key, {"run": "rm"}))))
    assert machine.call(firewalls)
    machine.call(lambda: task(dict(seal("h1", config.key, asked))))
    assert machine.call(firewalls) == []
    sent: list[Any] = []
    outbox.drain(lambda name, payload: sent.append((name, payload)))
    assert sent == [(MENDED, {"id": "1", "ok": True, "message": ""})]
