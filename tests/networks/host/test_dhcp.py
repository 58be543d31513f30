"""Addresses by DHCP, asked for by a real client on a real bridge."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from networks.host.ops import StartDhcp
from networks.host.spec import NetworkSpec, ReservationSpec
from tests.netns import Namespace, eventually
from tests.networks.host.lab import OUTSIDE, Lab, absent, assert_converges, network

pytestmark = pytest.mark.kernel

_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
echo "ip=$ip mask=$mask router=$router dns=$dns broadcast=$broadcast hostname=$hostname mtu=$mtu"
"""


def lease(lab: Lab, guest: Namespace, seconds: int = 3) -> dict[str, str]:
    """What udhcpc is given on eth0; empty when nobody answers."""
    script = lab.folder / "udhcpc.sh"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    out = guest.run(
        *("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-T", "1", "-t", str(seconds)),
        *("-O", "hostname", "-O", "mtu", "-s", str(script)),
        check=False,
    )
    line = next((line for line in out.splitlines() if line.startswith("ip=")), "")
    return dict(word.partition("=")[::2] for word in line.split(" ") if "=" in word)


def pid(lab: Lab) -> int:
    (found,) = lab.host.pids()
    return found


def test_guests_are_told_everything_they_need(lab: Lab) -> None:
    first, second = network(1), replace(network(2), mtu=1400, mode="isolated")
    guests = [lab.cable(spec.reservations[0]) for spec in (first, second)]
    lab.apply(first)
    lab.apply(second)
    assert lease(lab, guests[0]) == {
        "ip": "10.61.0.2",
        "mask": "24",
        "router": "10.61.0.1",
        "dns": OUTSIDE,
        "broadcast": "10.61.0.255",
        "hostname": "guest12",
        "mtu": "",
    }
    told = lease(lab, guests[1])
    assert (told["ip"], told["router"], told["dns"], told["mtu"]) == ("10.62.0.2", "", "", "1400")


def test_two_tenants_may_use_the_same_host_name(lab: Lab) -> None:
    specs = [_named(network(number, guests=1), "web") for number in (1, 2)]
    for spec in specs:
        guest = lab.cable(spec.reservations[0])
        lab.apply(spec)
        assert lease(lab, guest)["hostname"] == "web"


def test_an_unknown_mac_gets_nothing_and_a_new_reservation_works_at_once(lab: Lab) -> None:
    spec = network(guests=2)
    first, second = spec.reservations
    guest = lab.cable(second)
    lab.apply(replace(spec, reservations=(first,)))
    server = pid(lab)
    assert lease(lab, guest, 1) == {}
    lab.apply(spec)
    assert lease(lab, guest)["ip"] == second.address
    assert pid(lab) == server


def test_a_reservation_that_changes_hands_is_given_to_the_new_one(lab: Lab) -> None:
    spec = network(guests=2)
    first, second = spec.reservations
    guests = {of.id: lab.cable(of) for of in spec.reservations}
    lab.apply(replace(spec, reservations=(first,)))
    assert lease(lab, guests[first.id])["ip"] == first.address
    heir = replace(second, address=first.address)
    lab.apply(replace(spec, reservations=(heir,)))
    assert eventually(lambda: lease(lab, guests[second.id], 1)).get("ip") == first.address
    assert lease(lab, guests[first.id], 1) == {}


def test_dnsmasq_outlives_the_worker_and_is_adopted(lab: Lab) -> None:
    spec = network()
    lab.apply(spec)
    server = pid(lab)
    with lab.reconciler() as reconciler:
        assert reconciler.check(spec) == ()
        assert_converges(reconciler, network(2))
    assert pid(lab) == server


def test_a_dead_dnsmasq_is_started_again(lab: Lab) -> None:
    spec = network()
    lab.apply(spec)
    os.kill(pid(lab), signal.SIGKILL)
    eventually(lambda: not lab.host.pids())
    with lab.reconciler() as reconciler:
        assert reconciler.check(spec) == (StartDhcp(),)
        assert_converges(reconciler, spec)
    assert pid(lab)


def test_another_process_with_its_number_is_left_alone(lab: Lab) -> None:
    spec = network()
    other = lab.host.start("sleep", "60")
    folder = lab.paths.run / "dnsmasq"
    folder.mkdir(parents=True)
    (folder / "dnsmasq.pid").write_text(str(other.pid))
    lab.apply(spec)
    lab.apply(absent(spec))
    with lab.reconciler() as reconciler:
        reconciler.remove_all()
    assert other.poll() is None
    other.kill()
    other.communicate()


def test_a_reload_that_a_crash_prevented_is_made_up_for(lab: Lab) -> None:
    spec = network(guests=1)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    folder = lab.paths.run / "dnsmasq"
    (folder / "reload-due").touch()
    (folder / "hosts" / "kw1.520000000102").unlink()
    lab.apply(replace(spec, reservations=()))
    assert not (folder / "reload-due").exists()
    assert lease(lab, guest, 1) == {}


def test_a_changed_resolver_reaches_the_guests(lab: Lab) -> None:
    spec = network(guests=1)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    lab.resolv.write_text("nameserver 9.9.9.9\nnameserver 198.51.100.10\n")
    lab.apply(spec)
    assert eventually(lambda: lease(lab, guest).get("dns") == "9.9.9.9")


def _named(spec: NetworkSpec, hostname: str) -> NetworkSpec:
    renamed: tuple[ReservationSpec, ...] = tuple(
        replace(reservation, hostname=hostname) for reservation in spec.reservations
    )
    return replace(spec, reservations=renamed)
