"""Why?, of guests on an interface of the host's owner: what is broken is what is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kvmweb.host.store import SpecStore
from networks.host.case import explain
from networks.host.explain.steps import Case, Step
from networks.host.facts import Looker
from networks.host.spec import NetworkSpec
from tests.networks.host.breaking import Breaks, broken
from tests.networks.host.lab import OUTSIDE, Lab
from tests.networks.host.test_bridged import BRIEF, FIRST, Site, rules

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    lab = Lab(tmp_path_factory.mktemp("explain"))
    try:
        made = Site(lab)
        made.spec = made.opened(*rules("tcp", 80))
        lab.apply(made.spec)
        yield made
    finally:
        lab.close()


def why(
    site: Site, spec: NetworkSpec | None = None, vm: str = "running", **asked: Any
) -> tuple[Step, ...]:
    told = spec or site.spec
    looker = Looker(paths=site.lab.paths, vm_state=lambda _: vm)
    case = Case(network=told.subject, reservation=told.reservations[0].id, **asked)
    return site.host.call(lambda: explain(looker, lambda _: told, case))


breaks = Breaks[Site]()


@breaks("port")
def the_tap_is_loose(site: Site) -> Iterator[None]:
    site.host.ip("link set kt12 nomaster")
    yield
    site.host.ip("link set kt12 master br0")


@breaks("port")
def the_tap_is_off(site: Site) -> Iterator[None]:
    site.host.ip("link set kt12 down")
    yield
    site.host.ip("link set kt12 up")


@breaks("port")
def the_guests_link_is_down(site: Site) -> Iterator[None]:
    site.guests[0].ip("link set eth0 down")
    yield
    site.guests[0].ip("link set eth0 up")
    site.guests[0].ip(f"route replace default via {OUTSIDE}")


@breaks("tied")
def the_guest_is_not_tied(site: Site) -> Iterator[None]:
    mac = site.spec.reservations[0].mac
    site.host.run("nft", f"delete element bridge kvmweb own_mac {{ kt12 . {mac} }}")
    yield
    site.lab.apply(site.spec)


@breaks("tied")
def its_rule_is_gone(site: Site) -> Iterator[None]:
    site.host.run("nft", "flush set bridge kvmweb let_ports")
    yield
    site.lab.apply(site.spec)


@breaks("rules")
def the_tables_are_gone(site: Site) -> Iterator[None]:
    site.host.nft("delete table bridge kvmweb")
    yield
    site.lab.apply(site.spec)


@breaks("attachment")
def the_bridge_is_off(site: Site) -> Iterator[None]:
    site.host.ip("link set br0 down")
    yield
    site.host.ip("link set br0 up")
    site.host.ip(f"route replace default via {OUTSIDE} dev br0")


@breaks("wire")
def the_cable_is_out(site: Site) -> Iterator[None]:
    site.internet.ip("link set eth0 down")
    yield
    site.internet.ip("link set eth0 up")


@breaks("wire")
def the_uplink_is_off(site: Site) -> Iterator[None]:
    site.host.ip("link set up0 down")
    yield
    site.host.ip("link set up0 up")


@pytest.mark.parametrize("what", list(breaks))
def test_what_is_broken_is_what_is_named(site: Site, what: str) -> None:
    asked: dict[str, Any] = {"way": "in", "source": OUTSIDE, "port": 80}
    assert broken(why(site, **asked)) == ""
    with breaks.of(site, what) as key:
        assert broken(why(site, **asked)) == key
        if what != "the tables are gone":  # which keep out, so nothing else does
            assert site.internet.ask_tcp(FIRST, 80, BRIEF) == ""
    assert broken(why(site, **asked)) == ""
    assert site.internet.ask_tcp(FIRST, 80) == OUTSIDE


def test_the_rule_that_lets_it_in_is_named(site: Site) -> None:
    def inbound(spec: NetworkSpec | None = None, **asked: Any) -> Step:
        steps = why(site, spec, way="in", **asked)
        return next(step for step in steps if step.key == "inbound")

    assert inbound(source=OUTSIDE, port=80).found.endswith("tcp 80 from 0.0.0.0/0.")
    assert inbound(source="2001:db8::7", port=80).found.endswith("tcp 80 from ::/0.")
    assert inbound(source=OUTSIDE, port=81).verdict == "broken"
    assert inbound(source=OUTSIDE).verdict == "unknown"
    assert inbound(replace(site.spec, inbound=()), source=OUTSIDE, port=80).verdict == "broken"
    assert inbound(replace(site.spec, guarded=False), source=OUTSIDE, port=81).verdict == "ok"


def test_a_vm_that_is_off_and_a_bridge_that_is_gone_or_none_are_named(site: Site) -> None:
    assert broken(why(site, vm="off")) == "vm"
    for attach, said in (("br9", "no interface br9"), ("up0", "up0 is no bridge")):
        steps = why(site, replace(site.spec, attach=attach))
        assert broken(steps) == "attachment"
        assert said in steps[0].found


def test_a_bridge_that_leads_nowhere_is_told(site: Site) -> None:
    site.host.ip("link add br5 type bridge")
    site.host.ip("link set br5 up")
    alone = replace(site.spec, attach="br5")
    wire = next(step for step in why(site, alone) if step.key == "wire")
    assert (wire.verdict, "reach each other alone" in wire.found) == ("broken", True)
    site.host.ip("address add 10.5.0.1/24 dev br5")
    wire = next(step for step in why(site, alone) if step.key == "wire")
    assert wire.verdict == "unknown", "the host may route for it"
    site.host.ip("link del br5")


def test_of_macvtap_it_is_said_that_nothing_of_ours_is_between(site: Site) -> None:
    site.host.ip("link add wire0 type veth peer name wire1")
    for each in ("wire0", "wire1"):
        site.host.ip(f"link set {each} up")
    site.host.ip("link add link wire0 name kt9 type macvtap mode bridge")
    port = replace(site.spec.reservations[0], port="kt9")
    spec = replace(
        site.spec, attach="wire0", attached_to="uplink", guarded=False, reservations=(port,)
    )
    assert broken(why(site, spec)) == "port"
    site.host.ip("link set kt9 up")
    steps = why(site, spec)
    assert [step.key for step in steps] == ["attachment", "vm", "port", "macvtap"]
    assert (broken(steps), steps[-1].verdict) == ("", "unknown")
    assert "nothing of kvmweb is between" in steps[-1].found
    site.host.ip("link set wire1 down")
    assert broken(why(site, spec)) == "wire"
    site.host.ip("link set wire0 down")
    assert broken(why(site, spec)) == "attachment"
    site.host.ip("link del wire0")
    assert broken(why(site, spec)) == "attachment"


def test_the_command_line_says_it_by_the_guests_name_or_mac(site: Site) -> None:
    SpecStore(site.lab.paths.specs, "network", NetworkSpec).accept(site.spec)
    config = site.lab.folder / "host.json"
    paths = {"state": str(site.lab.paths.state), "run": str(site.lab.paths.run)}
    keys = {"name": "h1", "key": "0123456789abcdef", "broker": "redis://127.0.0.1:1"}
    config.write_text(json.dumps(keys | paths | {"libvirt_uri": "test:///default"}))

    def say(*words: str) -> str:
        program = (sys.executable, "-m", "kvmweb.host", "explain", "--config", str(config))
        return site.host.run(*program, *words, check=False)

    guest = site.spec.reservations[0]
    assert "By up0, on and with a carrier." in say(guest.mac)
    assert "may come in: tcp 80" in say(guest.hostname, "--in", "80/tcp", "--from", OUTSIDE)
    assert "✗ A rule lets it in" in say(guest.hostname, "--in", "81/tcp", "--from", OUTSIDE)
