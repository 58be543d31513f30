"""Every page is tried by everybody. A page that is not listed here fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor, create_token
from networks.actions import (
    apply_to_network,
    ask_peering,
    create_address_set,
    create_network,
    create_rule_set,
)
from networks.inbound import RuleText
from networks.models import (
    Attachment,
    Forward,
    HostName,
    Network,
)
from tests.cast import kept_snapshot
from tests.panel import panel_name
from tests.vms.test_first_boot import public_key
from vms.actions import add_key, create_flavour
from vms.models import Image, Vm

pytestmark = pytest.mark.db

# Their own tests try these.
ELSEWHERE = ("admin/", "api/v1/")


@dataclass(frozen=True)
class Door:
    """A page and how it answers each of the cast: Alice, Bob, Mallory, Olga.

    `about` is the object its UUID is of. `method` is the one that decides.
    """

    name: str
    answers: tuple[int, int, int, int]
    about: str = ""
    method: str = "get"
    data: dict[str, str] = field(default_factory=dict)


ALL = (200, 200, 200, 200)
READ = (200, 200, 404, 200)
WRITE = (200, 403, 404, 200)
DO = (302, 403, 404, 302)
SETTINGS = {
    "name": "other",
    "mode": "nat",
    "source_addresses": "198.51.100.11",
    "egress": "allowed",
    "mtu": "1400",
}
IMAGE = {"firmware": "bios", "min_memory_mib": "64", "least_disk_gib": "1"}
FLAVOUR = {"name": "large", "vcpus": "2", "memory_mib": "512", "disk_gib": "5"}
DOORS = [
    Door("overview", ALL),
    Door("search", ALL),
    Door("tokens", ALL),
    Door("token-revoke", (302, 404, 404, 404), "token", "post"),
    Door("password", ALL),
    Door("ssh-keys", ALL),
    Door("ssh-key-remove", (302, 404, 404, 404), "ssh_key", "post"),
    Door("theme", (302, 302, 302, 302), method="post"),
    Door("project", (302, 302, 302, 302), method="post"),
    Door("flavours", ALL),
    Door("flavours", (404, 404, 404, 302), method="post", data=FLAVOUR),
    Door("flavour", (404, 404, 404, 200), "flavour"),
    Door("flavour", (404, 404, 404, 302), "flavour", "post", FLAVOUR),
    Door("flavour-delete", (404, 404, 404, 302), "flavour", "post"),
    Door("vms", ALL),
    Door("vms-bin", ALL),
    Door("vm-hardware", READ, "vm"),
    Door("vm-snapshots", READ, "vm"),
    Door("vm-snapshots", DO, "vm", "post", {"name": "second"}),
    Door("snapshot-back", DO, "snapshot", "post", {"sure": "on"}),
    Door("snapshot-delete", DO, "snapshot", "post", {"sure": "on"}),
    Door("vm-hardware", DO, "vm", "post", {"size_gib": "2"}),
    Door("vm-add-nic", (400, 400, 404, 400), "vm", "post", {"network": "none"}),
    Door("vm-grow-disk", (400, 403, 404, 400), "vm", "post", {"disk": "x", "size_gib": "9"}),
    Door("vm-remove-hardware", (400, 403, 404, 400), "vm", "post", {"nic": "x", "sure": "on"}),
    Door("vm-restore", (409, 403, 404, 409), "vm", "post"),
    Door("vm-new", ALL),
    Door("vm", READ, "vm"),
    Door("vm-activity", READ, "vm"),
    Door("vm-metrics", READ, "vm"),
    Door("vm-settings", READ, "vm"),
    Door("vm-settings", DO, "vm", "post", {"name": "web-1", "vcpus": "2", "memory_mib": "512"}),
    Door("vm-power", DO, "vm", "post", {"power": "stop"}),
    Door("vm-check", DO, "vm", "post"),
    Door("vm-repair", DO, "vm", "post"),
    Door("vm-media", READ, "vm"),
    Door("vm-iso", (400, 403, 404, 400), "vm", "post", {"image": "none"}),
    Door("vm-iso", (409, 403, 404, 409), "vm", "post", {"eject": "1"}),
    Door("vm-boot-order", DO, "vm", "post", {"first": "cdrom"}),
    Door("vm-rescue", (400, 403, 404, 400), "vm", "post", {"image": "none"}),
    Door("vm-rescue", (409, 403, 404, 409), "vm", "post", {"end": "1"}),
    Door("vm-rebuild", WRITE, "vm"),
    Door("vm-rebuild", (400, 403, 404, 400), "vm", "post", {"name": "web-1", "image": "none"}),
    Door("vm-clone", WRITE, "vm"),
    Door("vm-clone", (409, 403, 404, 409), "vm", "post", {"name": "web-2"}),
    Door("vm-delete", WRITE, "vm"),
    Door("vm-delete", DO, "vm", "post", {"name": "web-1"}),
    Door("images", ALL),
    Door("image-new", ALL),
    Door("image-upload", ALL),
    Door("image-catalogue", ALL),
    Door("image", READ, "image"),
    Door("image-settings", WRITE, "image"),
    Door("image-settings", DO, "image", "post", IMAGE),
    Door("image-replace", WRITE, "image"),
    Door("image-deprecate", DO, "image", "post"),
    Door("image-delete", WRITE, "image"),
    Door("image-delete", DO, "image", "post", {"sure": "1"}),
    Door("networks", ALL),
    Door("network-new", ALL),
    Door("network", READ, "network"),
    Door("network-settings", WRITE, "network"),
    Door("network-settings", DO, "network", "post", SETTINGS),
    Door("network-ipv6", WRITE, "network"),
    Door("network-ipv6", DO, "network", "post", {"ipv6": "nat66"}),
    Door("network-services", WRITE, "network"),
    Door("network-services", DO, "network", "post", {"lease_minutes": "30"}),
    Door("network-delete", WRITE, "network"),
    Door("network-delete", (409, 403, 404, 409), "network", "post"),
    Door("peering-new", WRITE, "network"),
    Door("peering-new", (400, 403, 404, 400), "network", "post", {"peer": "nobody"}),
    Door("peering-why", READ, "peering"),
    Door("peering-why-now", READ, "peering"),
    Door("peering-accept", DO, "peering", "post"),
    Door("peering-end", WRITE, "peering"),
    Door("peering-end", DO, "peering", "post"),
    Door("network-check", DO, "network", "post"),
    Door("network-repair", DO, "network", "post"),
    Door("reservation-new", WRITE, "network"),
    Door("reservation-new", DO, "network", "post", {"name": "printer"}),
    Door("reservation", WRITE, "reservation"),
    Door("reservation", DO, "reservation", "post", {"name": "web-1", "address": "10.60.0.77"}),
    Door("reservation-delete", (409, 403, 404, 409), "reservation", "post"),
    Door("forwards", ALL),
    Door("forward-new", ALL),
    Door("forward", READ, "forward"),
    Door("forward", DO, "forward", "post", {"target_port": "23"}),
    Door("forward-pause", DO, "forward", "post"),
    Door("forward-extend", DO, "forward", "post"),
    Door("forward-resume", DO, "forward", "post"),
    Door("forward-delete", WRITE, "forward"),
    Door("forward-delete", DO, "forward", "post"),
    Door("firewall", ALL),
    Door("rule-set-new", ALL),
    Door("rule-set-new", (302, 302, 302, 302), method="post", data={"name": "web"}),
    Door("rule-set", READ, "rule-set"),
    Door("rule-set", DO, "rule-set", "post", {"protocol": "tcp", "ports": "443"}),
    Door("rule-set-rename", DO, "rule-set", "post", {"name": "other"}),
    Door("rule-set-delete", (409, 403, 404, 409), "rule-set", "post"),
    Door("rule-delete", DO, "rule", "post"),
    Door("address-set-new", ALL),
    Door("address-set", READ, "address-set"),
    Door("address-set", DO, "address-set", "post", {"name": "office", "networks": "10.0.0.0/8"}),
    Door("address-set-delete", (409, 403, 404, 409), "address-set", "post"),
    Door("network-firewall", WRITE, "network"),
    Door("network-firewall", DO, "network", "post"),
    Door("reservation-firewall", WRITE, "reservation"),
    Door("reservation-firewall", DO, "reservation", "post"),
    Door("forward-flows", READ, "forward"),
    Door("forward-flows-now", READ, "forward"),
    Door("forward-flows-end", DO, "forward", "post"),
    Door("network-traffic", ALL),
    Door("network-traffic-csv", ALL),
    Door("network-metrics", READ, "network"),
    Door("forward-metrics", READ, "forward"),
    Door("network-flows", READ, "network"),
    Door("network-flows-now", READ, "network"),
    Door("network-flows-end", DO, "network", "post"),
    Door("network-refused", READ, "network"),
    Door("network-refused-now", READ, "network"),
    Door("vm-refused", READ, "vm"),
    Door("vm-refused-now", READ, "vm"),
    Door("vm-console", READ, "vm"),
    Door("vm-console-ticket", READ, "vm", "post", {"kind": "serial"}),
    Door("vm-console-take", (404, 403, 404, 404), "vm", "post"),
    Door("vm-picture", READ, "vm"),
    Door("vm-flows", READ, "vm"),
    Door("vm-flows-now", READ, "vm"),
    Door("vm-flows-end", DO, "vm", "post"),
    Door("forward-why", READ, "forward"),
    Door("forward-why-now", READ, "forward"),
    Door("reservation-why", READ, "reservation"),
    Door("reservation-why-now", READ, "reservation"),
    Door("host-names", ALL),
    Door("host-name-new", ALL),
    Door("host-name", READ, "host_name"),
    Door("host-name", DO, "host_name", "post", {"http_port": "8080", "tls": "off"}),
    Door("host-name-why", READ, "host_name"),
    Door("host-name-why-now", READ, "host_name"),
    Door("host-name-pause", DO, "host_name", "post"),
    Door("host-name-extend", DO, "host_name", "post"),
    Door("host-name-resume", DO, "host_name", "post"),
    Door("host-name-delete", WRITE, "host_name"),
    Door("host-name-delete", DO, "host_name", "post"),
    Door("activity", ALL),
    Door("jobs-running", ALL),
    Door("job", READ, "job"),
    Door("job-retry", DO, "job", "post"),
    Door("hosts", (404, 404, 404, 200)),
    Door("host", (404, 404, 404, 200), "host"),
    Door("host-metrics", (404, 404, 404, 200), "host"),
    Door("host-remedy", (404, 404, 404, 302), "host", "post", {"finding": "firewall:x"}),
    Door("panel-new", (404, 404, 404, 200), "host"),
    Door("panel", (404, 404, 404, 200), "panel"),
    Door("panel-delete", (404, 404, 404, 200), "panel"),
    Door("panel-delete", (404, 404, 404, 302), "panel", "post"),
    Door("who-had-it", (404, 404, 404, 200)),
    Door("host-attachments", (404, 404, 404, 302), "host", "post", {"attachable": "bridge br1"}),
    Door("attachment-withdraw", (403, 403, 403, 302), "attachment", "post"),
    Door("host-repairs", (404, 404, 404, 302), "host", "post", {"repairs": "0"}),
]
# A ticket in the address opens the files of images, an API token what Prometheus collects.
OPEN = {"login", "logout", "healthz", "image-file", "prometheus"}


def pages() -> Iterator[str]:
    """The names of all pages, from the URL configuration."""
    for entry in get_resolver().url_patterns:
        if isinstance(entry, URLResolver) and not str(entry.pattern).startswith(ELSEWHERE):
            yield from _names(entry)


def _names(resolver: URLResolver) -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from _names(entry)
        elif isinstance(entry, URLPattern):
            yield str(entry.name)


def test_every_page_is_listed() -> None:
    assert set(pages()) == {door.name for door in DOORS} | OPEN


@pytest.fixture
def uuids(
    vm: Vm,
    network: Network,
    forward: Forward,
    host_name: HostName,
    host: Host,
    alice: User,
    olga: User,
) -> dict[str, str]:
    token, _ = create_token(Actor(alice), name="script")
    office = create_address_set(Actor(alice), name="office", networks=["198.51.100.0/24"])
    web = RuleText("tcp", "80", address_set=str(office.uuid))
    rule_set = create_rule_set(Actor(alice), name="shop", rules=[web])
    apply_to_network(Actor(alice), network.uuid, rule_sets=[rule_set.uuid])
    lab = create_network(Actor(alice), name="lab", project=network.project.uuid)
    things = {
        "rule-set": rule_set,
        "rule": rule_set.rules.get(),
        "address-set": office,
        "vm": vm,
        "snapshot": kept_snapshot(Actor(alice), vm),
        "image": Image.objects.create(project=network.project, name="own", sha256="1" * 64),
        "network": network,
        "forward": forward,
        "host_name": host_name,
        "reservation": forward.reservation,
        "host": host,
        "panel": panel_name(olga),
        "job": vm.job,
        "token": token,
        "flavour": create_flavour(Actor(olga), name="small", vcpus=1, memory_mib=512, disk_gib=4),
        "ssh_key": add_key(Actor(alice), public_key=public_key()),
        "peering": ask_peering(Actor(alice), network=network.uuid, peer=lab.uuid),
        "attachment": Attachment.objects.create(host=host, interface="br0", kind="bridge"),
    }
    return {name: str(thing.uuid) for name, thing in things.items() if thing}


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "olga"])
@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.name}-{door.method}")
def test_everybody_gets_what_is_theirs(
    door: Door, who: str, uuids: dict[str, str], request: pytest.FixtureRequest, client: Client
) -> None:
    user: User = request.getfixturevalue(who)
    client.force_login(user)
    expected = dict(zip(["alice", "bob", "mallory", "olga"], door.answers, strict=True))[who]
    answer = getattr(client, door.method)(_address(door, uuids), door.data)
    assert answer.status_code == expected
    if expected == 404:
        assert b"web-1" not in answer.content


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.name}-{door.method}")
def test_nobody_gets_in_without_logging_in(
    door: Door, uuids: dict[str, str], client: Client
) -> None:
    address = _address(door, uuids)
    answer = getattr(client, door.method)(address, door.data)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("login"))


def _address(door: Door, uuids: dict[str, str]) -> str:
    return reverse(door.name, args=[uuids[door.about]] if door.about else [])


def test_supervisors_need_no_login_and_no_database(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"
