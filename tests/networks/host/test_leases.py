"""What the monitor reads of leases, from what a real dnsmasq wrote."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from networks.host.leases import Leases
from tests.networks.host.lab import Lab, network
from tests.networks.host.test_dhcp import lease

pytestmark = pytest.mark.kernel


def test_leases_are_told_once_and_again_when_they_change(lab: Lab) -> None:
    spec = network(guests=2)
    first, second = spec.reservations
    guests = [lab.cable(each) for each in (first, second)]
    lab.apply(spec)
    leases = Leases(lab.paths.run / "dnsmasq" / "leases", lab.paths.routers)
    assert list(leases.news()) == [{"anew": True, "leases": [], "gone": []}]
    assert lease(lab, guests[0])["ip"] == first.address
    (told,) = leases.news()
    (said,) = told["leases"]
    expires = said.pop("expires")
    assert said == {"mac": first.mac, "address": first.address, "hostname": first.hostname}
    assert abs(expires - time.time() - 3600) < 120
    assert list(leases.news()) == []
    assert lease(lab, guests[1])["ip"] == second.address
    (told,) = leases.news()
    assert [each["mac"] for each in told["leases"]] == [second.mac]
    heir = replace(second, address=first.address)
    lab.apply(replace(spec, reservations=(heir,)))
    assert lease(lab, guests[1])["ip"] == first.address
    (told,) = leases.news()
    assert [each["address"] for each in told["leases"]] == [first.address]
    assert told["gone"] == [first.mac]
