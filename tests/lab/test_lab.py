"""The lab itself: two hosts on one internet, each with a libvirtd of its own."""

from __future__ import annotations

import libvirt
import pytest

from tests.lab.lab import INTERNET, Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", ["h1", "h2"])
def test_a_host_reaches_the_internet_as_itself(lab: Lab, name: str) -> None:
    host = lab.hosts[name]
    assert host.run("curl", "--silent", f"http://{INTERNET}/").strip() == host.address


def test_each_host_has_a_libvirtd_of_its_own(lab: Lab) -> None:
    for host in lab.hosts.values():
        connection = libvirt.open(host.libvirt_uri)
        try:
            assert connection.isAlive()
            assert connection.listAllDomains() == []
        finally:
            connection.close()
