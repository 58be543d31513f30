"""Subnets of libvirt's own networks are known before anybody starts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.libvirtd import LibvirtHost
from vms.host.drivers.domains import Domains
from vms.host.foreign_networks import defined, subnets

OFFICE = """<network><name>kw-test-office</name><forward mode='nat'/>
<ip address='192.168.130.1' netmask='255.255.255.128'/>
<ip family='ipv6' address='fd77::1' prefix='64'/>
<route address='10.200.0.0' prefix='16' gateway='192.168.130.2'/></network>"""
SUBNETS = ["192.168.130.0/25", "fd77::/64", "10.200.0.0/16"]


@pytest.mark.pure
def test_subnets_are_read_as_libvirt_means_them() -> None:
    assert list(subnets(OFFICE)) == SUBNETS
    bare = "<network><ip address='172.20.0.1'/><ip family='ipv6' address='fd00::9'/></network>"
    assert list(subnets(bare)) == ["172.20.0.0/16", "fd00::/64"]
    assert list(subnets("<network><forward mode='bridge'/><bridge name='br0'/></network>")) == []


@pytest.mark.libvirt
@pytest.mark.timeout(120)
def test_a_network_that_does_not_run_is_known(host: LibvirtHost, tmp_path: Path) -> None:
    file = tmp_path / "office.xml"
    file.write_text(OFFICE)
    virsh = ("virsh", "--quiet", "--connect", host.uri)
    host.run(*virsh, "net-define", file)
    domains = Domains(host.uri)
    try:
        found = [each for each in defined(domains) if each["name"] == "kw-test-office"]
        assert [each["subnet"] for each in found] == SUBNETS
        assert "inactive" in host.run(*virsh, "net-list", "--all")
    finally:
        domains.close()
        host.run(*virsh, "net-undefine", "kw-test-office")
