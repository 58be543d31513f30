"""Every route is tried by everybody. A route that is not in the table fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from kvmweb.api.urls import router, urlpatterns
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import Project
from networks.actions import (
    ask_peering,
    create_address_set,
    create_network,
    create_rule_set,
)
from networks.inbound import RuleText
from networks.models import (
    AddressSet,
    Attachment,
    Drift,
    Forward,
    HostName,
    Network,
    PanelName,
    Peering,
    Remedy,
    Reservation,
    RuleSet,
    Traffic,
)
from tests.cast import kept_snapshot
from tests.kvmweb.api.conftest import Program
from tests.panel import MADE, NAME, panel_name
from tests.vms.test_first_boot import public_key
from vms.actions import add_key, create_flavour
from vms.models import Flavour, Image, Snapshot, SshKey, Vm

pytestmark = pytest.mark.db

WHO = ("alice", "bob", "mallory", "olga", "anonymous")
EVERYBODY = (200, 200, 200, 200, 401)
OPERATORS = (404, 404, 404, 200, 401)
READ = (200, 200, 404, 200, 401)
CHANGE = (202, 403, 404, 202, 401)
# No host listens here: who may ask is told that it does not answer.
ASK = (504, 504, 404, 504, 401)
# What a body names and a stranger cannot see is wrong input, not a missing page.
ADD = (202, 403, 400, 202, 401)
MAKE = (201, 403, 400, 201, 401)
OPEN = (200, 200, 200, 200, 200)


@dataclass(frozen=True)
class World:
    """What every route is tried on."""

    users: dict[str, User | None]
    project: Project
    host: Host
    public: PublicAddress
    image: Image
    own_image: Image
    vm: Vm
    network: Network
    reservation: Reservation
    forward: Forward
    drift: Drift
    rule_set: RuleSet
    address_set: AddressSet
    peering: Peering
    unpaired: Network
    host_name: HostName
    key: SshKey
    snapshot: Snapshot
    flavour: Flavour
    iso: Image

    def uuid(self, kind: str) -> str:
        if kind == "panel-name":
            return str((PanelName.objects.first() or panel_name(self.users["olga"])).uuid)
        subject = {
            "host": self.host,
            "public-address": self.public,
            "attachment": Attachment.objects.get_or_create(
                host=self.host, interface="br0", kind="bridge"
            )[0],
            "network": self.network,
            "reservation": self.reservation,
            "forward": self.forward,
            "host-name": self.host_name,
            "drift": self.drift,
            "peering": self.peering,
            "traffic": Traffic.objects.get_or_create(
                project=self.project, network=self.network.uuid, month=date(2026, 11, 1)
            )[0],
            "remedy": Remedy.objects.get_or_create(host=self.host, finding="old")[0],
            "holding": self.forward.holdings.get(),
            "image": self.own_image,
            "rule-set": self.rule_set,
            "address-set": self.address_set,
            "ssh-key": self.key,
            "flavour": self.flavour,
            "vm": self.vm,
            "snapshot": self.snapshot,
            "job": self.network.job,
            "project": self.project,
        }[kind]
        return str(subject.uuid)  # type: ignore[union-attr]


Body = Callable[[World], dict[str, Any]]


ABOUT_VMS = (
    "force-off",
    "add-disk",
    "grow-disk",
    "remove-disk",
    "add-nic",
    "remove-nic",
    "take-console",
    "insert-iso",
    "eject-iso",
    "boot-order",
    "end-rescue",
)


def kind_of(name: str) -> str:
    """What a route is about: the part of its name before what it does."""
    for does in ABOUT_VMS:
        name = name.replace(does, "does")
    return name.rpartition("-")[0]


def nothing(_world: World) -> dict[str, Any]:
    return {}


ROUTES: dict[str, tuple[tuple[int, ...], Body]] = {
    "get host-list": (EVERYBODY, nothing),
    "get host-detail": (OPERATORS, nothing),
    "get host-metrics": (OPERATORS, nothing),
    "get traffic-list": (EVERYBODY, nothing),
    "get traffic-totals": (EVERYBODY, nothing),
    "get traffic-detail": (READ, nothing),
    "patch host-detail": (OPERATORS, lambda _: {"repairs": False}),
    "post host-remedy": ((404, 404, 404, 201, 401), lambda _: {"finding": "firewall:x"}),
    "get remedy-list": (EVERYBODY, nothing),
    "get remedy-detail": (OPERATORS, nothing),
    "get holding-list": (EVERYBODY, nothing),
    "get holding-detail": (OPERATORS, nothing),
    "get drift-list": (EVERYBODY, nothing),
    "get drift-detail": (READ, nothing),
    "get public-address-list": (EVERYBODY, nothing),
    "get public-address-detail": (OPERATORS, nothing),
    "get attachment-list": (EVERYBODY, nothing),
    "post attachment-list": (
        (400, 400, 400, 201, 401),
        lambda w: {"host": w.uuid("host"), "interface": "br1"},
    ),
    "get attachment-detail": (EVERYBODY, nothing),
    "delete attachment-detail": ((403, 403, 403, 204, 401), nothing),
    "get network-list": (EVERYBODY, nothing),
    "post network-list": (ADD, lambda w: {"name": "n2", "project": str(w.project.uuid)}),
    "get network-detail": (READ, nothing),
    "get network-metrics": (READ, nothing),
    "get network-flows": (ASK, nothing),
    "get network-refused": (READ, nothing),
    "delete network-flows": ((504, 403, 404, 504, 401), nothing),
    "patch network-detail": (CHANGE, lambda _: {"name": "office"}),
    # It is in use: who may delete it is told so.
    "delete network-detail": ((409, 403, 404, 409, 401), nothing),
    "get network-leases": (READ, nothing),
    "get network-services": (READ, nothing),
    "patch network-services": (CHANGE, lambda _: {"lease_minutes": 30}),
    "post network-check": (CHANGE, nothing),
    "post network-repair": (CHANGE, nothing),
    "get reservation-list": (EVERYBODY, nothing),
    "post reservation-list": (ADD, lambda w: {"name": "r2", "network": w.uuid("network")}),
    "get reservation-detail": (READ, nothing),
    "patch reservation-detail": (CHANGE, lambda _: {"address": "10.60.0.77"}),
    "get reservation-explain": (ASK, nothing),
    "delete reservation-detail": ((409, 403, 404, 409, 401), nothing),
    "get peering-list": (EVERYBODY, nothing),
    "post peering-list": (
        ADD,
        lambda w: {"network": w.uuid("network"), "peer": str(w.unpaired.uuid)},
    ),
    "get peering-detail": (READ, nothing),
    "get peering-explain": (READ, nothing),
    "post peering-accept": (CHANGE, nothing),
    "delete peering-detail": (CHANGE, nothing),
    "get forward-list": (EVERYBODY, nothing),
    "post forward-list": (ADD, lambda w: {"vm": w.uuid("vm"), "target_port": 80}),
    "post forward-bulk": (
        ADD,
        lambda w: {"forwards": [{"vm": w.uuid("vm"), "target_port": port} for port in (80, 81)]},
    ),
    "get forward-detail": (READ, nothing),
    "get forward-metrics": (READ, nothing),
    "get forward-flows": (ASK, nothing),
    "delete forward-flows": ((504, 403, 404, 504, 401), nothing),
    "get forward-explain": (ASK, nothing),
    # It says first which parameters are missing.
    "get forward-explain-port": ((400, 400, 400, 400, 401), nothing),
    "patch forward-detail": (CHANGE, lambda _: {"target_port": 2222}),
    "delete forward-detail": (CHANGE, nothing),
    "post forward-pause": (CHANGE, nothing),
    "post forward-extend": (CHANGE, nothing),
    "post forward-resume": (CHANGE, nothing),
    "post network-ipv6": (CHANGE, lambda _: {"ipv6": "nat66"}),
    "post network-firewall": (CHANGE, lambda w: {"rule_sets": [w.uuid("rule-set")]}),
    "post reservation-firewall": (CHANGE, lambda w: {"rule_sets": [w.uuid("rule-set")]}),
    "get rule-set-list": (EVERYBODY, nothing),
    "post rule-set-list": (MAKE, lambda w: {"name": "web", "project": str(w.project.uuid)}),
    "get rule-set-detail": (READ, nothing),
    "patch rule-set-detail": ((200, 403, 404, 200, 401), lambda _: {"rules": []}),
    "delete rule-set-detail": ((204, 403, 404, 204, 401), nothing),
    "get address-set-list": (EVERYBODY, nothing),
    "post address-set-list": (
        MAKE,
        lambda w: {"name": "home", "networks": [], "project": str(w.project.uuid)},
    ),
    "get address-set-detail": (READ, nothing),
    "patch address-set-detail": ((200, 403, 404, 200, 401), lambda _: {"networks": []}),
    "delete address-set-detail": ((204, 403, 404, 204, 401), nothing),
    "get panel-name-list": (EVERYBODY, nothing),
    "post panel-name-list": (
        (404, 404, 404, 202, 401),
        lambda w: {
            "public_address": w.uuid("public-address"),
            "name": NAME,
            "certificate": MADE.certificate,
            "private_key": MADE.private_key,
        },
    ),
    "get panel-name-detail": (OPERATORS, nothing),
    "patch panel-name-detail": ((404, 404, 404, 202, 401), lambda _: {"port": 8001}),
    "delete panel-name-detail": ((404, 404, 404, 202, 401), nothing),
    "get host-name-list": (EVERYBODY, nothing),
    "post host-name-list": (ADD, lambda w: {"vm": w.uuid("vm"), "name": "b.example.org"}),
    "get host-name-detail": (READ, nothing),
    "get host-name-explain": (ASK, nothing),
    "patch host-name-detail": (CHANGE, lambda _: {"http_port": 8080}),
    "delete host-name-detail": (CHANGE, nothing),
    "post host-name-pause": (CHANGE, nothing),
    "post host-name-extend": (CHANGE, nothing),
    "post host-name-resume": (CHANGE, nothing),
    "get image-list": (EVERYBODY, nothing),
    "get image-detail": (READ, nothing),
    "post image-list": (
        ADD,
        lambda w: {
            "name": "i2",
            "project": str(w.project.uuid),
            "url": "https://images.example.org/x.qcow2",
            "checksum": "0" * 64,
        },
    ),
    "post image-upload": (
        MAKE,
        lambda w: {"name": "i3", "project": str(w.project.uuid), "upload_bytes": 1},
    ),
    # It is here already.
    "patch image-content": ((400, 403, 404, 400, 401), nothing),
    "patch image-detail": ((200, 403, 404, 200, 401), lambda _: {"os": "Debian"}),
    "post image-deprecate": ((200, 403, 404, 200, 401), nothing),
    "post image-offer": ((200, 403, 404, 200, 401), nothing),
    "delete image-detail": (CHANGE, nothing),
    "get image-catalogue-list": (EVERYBODY, nothing),
    "get flavour-list": (EVERYBODY, nothing),
    "post flavour-list": (
        (404, 404, 404, 201, 401),
        lambda _: {"name": "large", "vcpus": 2, "memory_mib": 512, "disk_gib": 5},
    ),
    "get flavour-detail": (EVERYBODY, nothing),
    "patch flavour-detail": ((403, 403, 403, 200, 401), lambda _: {"vcpus": 2}),
    "delete flavour-detail": ((403, 403, 403, 204, 401), nothing),
    "get ssh-key-list": (EVERYBODY, nothing),
    "post ssh-key-list": (
        (201, 201, 201, 201, 401),
        lambda _: {"public_key": public_key(2)},
    ),
    "get ssh-key-detail": ((200, 404, 404, 404, 401), nothing),
    "delete ssh-key-detail": ((204, 404, 404, 404, 401), nothing),
    "get snapshot-list": (EVERYBODY, nothing),
    "post snapshot-list": (
        ADD,
        lambda world: {"vm": str(world.vm.uuid), "name": "second", "memory": False},
    ),
    "get snapshot-detail": (READ, nothing),
    "delete snapshot-detail": (CHANGE, nothing),
    "post snapshot-return": (CHANGE, nothing),
    "get vm-list": (EVERYBODY, nothing),
    "post vm-list": (
        ADD,
        lambda w: {"name": "v2", "network": w.uuid("network"), "image": str(w.image.uuid)},
    ),
    "get vm-detail": (READ, nothing),
    "get vm-flows": (ASK, nothing),
    "get vm-metrics": (READ, nothing),
    "get vm-refused": (READ, nothing),
    "delete vm-flows": ((504, 403, 404, 504, 401), nothing),
    "get vm-explain": (ASK, nothing),
    "get vm-consoles": (READ, nothing),
    "get vm-picture": (READ, nothing),
    # Who may look at a VM may look at its consoles.
    "post vm-consoles": ((201, 201, 404, 201, 401), lambda _: {"kind": "serial"}),
    "post vm-take-console": ((404, 403, 404, 404, 401), lambda _: {"console": str(UUID(int=0))}),
    "patch vm-detail": (CHANGE, lambda _: {"memory_mib": 1024}),
    "delete vm-detail": (CHANGE, nothing),
    "post vm-start": (CHANGE, nothing),
    "post vm-stop": (CHANGE, nothing),
    "post vm-force-off": (CHANGE, nothing),
    # It has a snapshot.
    "post vm-rebuild": (
        (409, 403, 404, 409, 401),
        lambda w: {"name": "web-1", "image": str(w.image.uuid)},
    ),
    "post vm-insert-iso": (CHANGE, lambda w: {"image": str(w.iso.uuid)}),
    # Its drive is empty.
    "post vm-eject-iso": ((409, 403, 404, 409, 401), nothing),
    "post vm-boot-order": (CHANGE, lambda _: {"order": ["cdrom"]}),
    "post vm-rescue": (CHANGE, lambda w: {"image": str(w.image.uuid)}),
    "post vm-end-rescue": ((409, 403, 404, 409, 401), nothing),
    # It runs.
    "post vm-clone": ((409, 403, 404, 409, 401), lambda _: {"name": "web-2"}),
    "post vm-add-disk": (CHANGE, lambda _: {"size_gib": 2}),
    "post vm-grow-disk": (
        CHANGE,
        lambda w: {"disk": str(w.vm.disks.get().uuid), "size_gib": 5},
    ),
    "post vm-remove-disk": (
        (409, 403, 404, 409, 401),
        lambda w: {"disk": str(w.vm.disks.get().uuid)},
    ),
    "post vm-add-nic": (CHANGE, lambda w: {"network": w.uuid("network")}),
    "post vm-remove-nic": (CHANGE, lambda w: {"nic": str(w.vm.nics.get().uuid)}),
    "post vm-pause": (CHANGE, nothing),
    "post vm-resume": ((409, 403, 404, 409, 401), nothing),
    "post vm-save": (CHANGE, nothing),
    "post vm-reboot": (CHANGE, nothing),
    "post vm-reset": (CHANGE, nothing),
    "post vm-restore": ((409, 403, 404, 409, 401), nothing),
    "post vm-purge": ((409, 403, 404, 409, 401), nothing),
    "post vm-check": (CHANGE, nothing),
    "post vm-repair": (CHANGE, nothing),
    "get job-list": (EVERYBODY, nothing),
    "get job-detail": (READ, nothing),
    "post job-retry": (CHANGE, nothing),
    "get project-list": (EVERYBODY, nothing),
    "post project-list": ((201, 201, 201, 201, 401), lambda _: {"name": "Shop"}),
    "get project-detail": (READ, nothing),
}
PAGES = {"schema": OPEN, "docs": OPEN}
# Lists of what belongs to a project; a stranger's are empty.
OF_PROJECTS = (
    "host-name",
    "network",
    "reservation",
    "forward",
    "drift",
    "peering",
    "vm",
    "job",
    "rule-set",
    "address-set",
)


def routes() -> Iterator[tuple[str, str, bool]]:
    """Method, name, and whether it is about one object: of every route of the API."""
    for pattern in router.urls:
        about_one = "uuid" in pattern.pattern.converters
        for method in pattern.callback.actions:  # type: ignore[union-attr]
            if method != "head":
                yield method, str(pattern.name), about_one  # type: ignore[union-attr]


@pytest.fixture
def world(
    alice: User,
    bob: User,
    mallory: User,
    olga: User,
    project: Project,
    host: Host,
    public_address: PublicAddress,
    image: Image,
    vm: Vm,
    reservation: Reservation,
    forward: Forward,
    host_name: HostName,
) -> World:
    users = {"alice": alice, "bob": bob, "mallory": mallory, "olga": olga, "anonymous": None}
    network = reservation.network
    network.refresh_from_db()
    drift = Drift.objects.create(host=host, network=network, at=timezone.now())
    rule_set = create_rule_set(Actor(alice), name="shop", rules=[RuleText("tcp", "80")])
    office = create_address_set(Actor(alice), name="office", networks=["198.51.100.0/24"])
    lab, den = (
        create_network(Actor(alice), name=name, project=project.uuid) for name in ("lab", "den")
    )
    peering = ask_peering(Actor(alice), network=network.uuid, peer=lab.uuid)
    return World(
        users=users,
        project=project,
        host=host,
        public=public_address,
        image=image,
        own_image=Image.objects.create(project=project, name="own", sha256="1" * 64),
        vm=vm,
        network=network,
        reservation=reservation,
        forward=forward,
        drift=drift,
        peering=peering,
        unpaired=den,
        host_name=host_name,
        rule_set=rule_set,
        address_set=office,
        iso=Image.objects.create(name="iso", sha256="3" * 64, found_format="iso"),
        flavour=create_flavour(Actor(olga), name="small", vcpus=1, memory_mib=512, disk_gib=4),
        key=add_key(Actor(alice), public_key=public_key()),
        snapshot=kept_snapshot(Actor(alice), vm),
    )


def test_every_route_is_in_the_table() -> None:
    assert {f"{method} {name}" for method, name, _ in routes()} == set(ROUTES)
    others = {getattr(pattern, "name", None) for pattern in urlpatterns}
    assert others - {None} == set(PAGES)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "name", "about_one"), list(routes()))
def test_everybody_gets_the_answer_that_is_theirs(
    world: World, who: str, method: str, name: str, about_one: bool
) -> None:
    expected, body = ROUTES[f"{method} {name}"]
    uuid = world.uuid(kind_of(name)) if about_one else None
    path = reverse(f"api:{name}", kwargs={"uuid": uuid} if uuid else None)
    program = Program(world.users[who])
    relative = path.removeprefix("/api/v1/")
    answer = program.ask(method, relative, None if method == "get" else body(world))
    assert answer.status_code == expected[WHO.index(who)], answer.data
    if answer.status_code == 202:
        assert answer.headers["Location"].startswith("/api/v1/jobs/")
        assert program.client.get(answer.headers["Location"]).status_code == 200
    if answer.status_code >= 400:
        assert set(answer.data) >= {"code", "message", "field", "remedy"}
        assert answer.data["message"]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", PAGES)
def test_pages_about_the_api_are_open(world: World, who: str, name: str) -> None:
    answer = Program(world.users[who]).client.get(reverse(f"api:{name}"))
    assert answer.status_code == PAGES[name][WHO.index(who)]


@pytest.mark.parametrize("kind", OF_PROJECTS)
def test_lists_show_members_what_is_theirs_and_strangers_nothing(world: World, kind: str) -> None:
    seen = {}
    for who in ("alice", "bob", "mallory", "olga"):
        answer = Program(world.users[who]).client.get(reverse(f"api:{kind}-list"))
        seen[who] = len(answer.data["results"])
    assert seen["alice"] == seen["bob"] == seen["olga"] > 0
    assert seen["mallory"] == 0


@pytest.mark.parametrize("kind", ["host", "public-address", "holding"])
def test_only_operators_see_hosts(world: World, kind: str) -> None:
    seen = {
        who: len(Program(world.users[who]).client.get(reverse(f"api:{kind}-list")).data["results"])
        for who in ("alice", "bob", "mallory", "olga")
    }
    assert seen.pop("olga") > 0
    assert seen == {"alice": 0, "bob": 0, "mallory": 0}


def test_strangers_see_no_project_of_others(world: World) -> None:
    answer = Program(world.users["mallory"]).get("projects/")
    assert [entry["name"] for entry in answer.data["results"]] == ["mallory"]
