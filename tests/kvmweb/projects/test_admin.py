"""The operators' admin: every model, for active staff alone, and nothing that actions own."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from kvmweb.api.models import KeptAnswer
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.models import Job, JobEvent, Status
from kvmweb.projects.actions import Actor, create_token
from kvmweb.projects.models import ApiToken, AuditEvent, Membership, Project, Role
from networks.actions import add_forward, create_address_set, create_rule_set
from networks.inbound import RuleText
from networks.leases import record as record_leases
from networks.models import (
    AddressSet,
    Attachment,
    Certificate,
    Drift,
    EgressRule,
    Forward,
    ForwardUsage,
    Holding,
    HostName,
    HostNameUsage,
    Lease,
    Network,
    NetworkUsage,
    PanelName,
    Peering,
    PoolAddress,
    PortClaim,
    Remedy,
    Reservation,
    Rule,
    RuleSet,
    Traffic,
)
from tests.cast import finish_job, kept_snapshot
from tests.refusals import rows
from tests.vms.test_first_boot import public_key
from vms.actions import add_key
from vms.models import Console, Disk, Flavour, Image, Nic, Picture, Snapshot, SshKey, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]

OURS: list[type[Model]] = [
    Host,
    PublicAddress,
    Attachment,
    Network,
    Reservation,
    Forward,
    ForwardUsage,
    HostName,
    HostNameUsage,
    Certificate,
    PanelName,
    NetworkUsage,
    Traffic,
    Drift,
    Remedy,
    Holding,
    Lease,
    PortClaim,
    AddressSet,
    RuleSet,
    Rule,
    PoolAddress,
    EgressRule,
    Peering,
    Image,
    Snapshot,
    Flavour,
    SshKey,
    Vm,
    Console,
    Picture,
    Disk,
    Nic,
    Job,
    JobEvent,
    Project,
    Membership,
    ApiToken,
    AuditEvent,
    KeptAnswer,
    User,
]
ADDED_HERE = {Host, PublicAddress, Image, Flavour, Project, Membership, User}
CHANGED_HERE = ADDED_HERE
DELETED_HERE = {Membership, ApiToken, SshKey, Flavour}


def address(model: type[Model], page: str, *args: Any) -> str:
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{page}", args=args)


@pytest.fixture
def world(vm: Vm, bob: User, mallory: User, alice: User) -> None:
    """At least one row of every model."""
    create_token(Actor(alice), name="backup")
    add_key(Actor(alice), public_key=public_key())
    kept_snapshot(Actor(alice), vm)
    Flavour.objects.create(name="small", vcpus=1, memory_mib=512, disk_gib=4)
    forward = Forward.objects.get()
    ForwardUsage.objects.create(forward=forward, connections=1)
    NetworkUsage.objects.create(network=forward.network)
    network = forward.network
    Traffic.objects.create(
        project=network.project, network=network.uuid, network_name="web", month=date(2026, 11, 1)
    )
    Remedy.objects.create(host=network.host, finding="router")
    Attachment.objects.create(host=network.host, interface="br0", kind="bridge")
    name = HostName.objects.create(
        network=network,
        reservation=forward.reservation,
        public_address=forward.public_address,
        name="a.example.org",
    )
    HostNameUsage.objects.create(host_name=name, connections=1)
    now = timezone.now()
    Certificate.objects.create(host_name=name, not_before=now, not_after=now)
    PanelName.objects.create(public_address=forward.public_address, name="panel.example.org")
    Drift.objects.create(host=network.host, network=network, at=timezone.now())
    office = create_address_set(Actor(alice), name="a", networks=["198.51.100.0/24"])
    create_rule_set(Actor(alice), name="ra", rules=[RuleText("any", address_set=str(office.uuid))])
    PoolAddress.objects.create(network=network, public_address=PublicAddress.objects.get())
    lab = Network.objects.create(
        project=network.project,
        host=network.host,
        job=network.job,
        name="lab",
        ipv4_subnet="10.61.0.0/24",
    )
    record_leases(network.host, _lease_of(forward.reservation))
    Peering.objects.create(network=network, peer=lab)
    EgressRule.objects.create(network=network, cidr="9.9.9.9/32", protocol="udp")
    Picture.objects.create(vm=vm, png=b"", taken_at=now)
    Console.objects.create(vm=vm, user=alice, kind="serial", digest="d" * 64, expires_at=now)
    KeptAnswer.objects.create(user=alice, key="k", request_digest="0" * 64, body={"a": 1})


def _lease_of(guest: Reservation) -> dict[str, Any]:
    told = {"mac": guest.mac, "address": guest.address, "hostname": "", "expires": 0}
    return {"anew": True, "leases": [told], "gone": []}


@pytest.fixture
def staff(db: None) -> Client:
    """Staff that is no superuser and has no permission of Django's own: enough to operate."""
    user = User.objects.create_user("otto", password="correct-horse-battery", is_staff=True)
    client = Client()
    client.force_login(user)
    return client


def test_every_model_of_ours_is_there() -> None:
    own = {model for model in apps.get_models() if not model.__module__.startswith("django.")}
    assert own | {User} == set(OURS)
    assert set(OURS) <= set(admin.site._registry)


@pytest.mark.parametrize("model", OURS)
def test_staff_sees_lists_pages_and_finds(world: None, staff: Client, model: type[Model]) -> None:
    listed = staff.get(address(model, "changelist"), {"q": "a"})
    assert listed.status_code == 200
    first = model._default_manager.first()
    assert first is not None
    page = staff.get(address(model, "change", first.pk))
    assert page.status_code == 200
    assert not re.search(r"<style|\son\w+=\"", page.content.decode())


@pytest.mark.parametrize("model", OURS)
def test_others_are_sent_to_the_login_or_refused(
    world: None, alice: User, model: type[Model]
) -> None:
    first = model._default_manager.first()
    assert first is not None
    client = Client()
    for who in (None, alice):
        if who is not None:
            client.force_login(who)
        for page in (address(model, "changelist"), address(model, "change", first.pk)):
            answer = client.get(page)
            assert answer.status_code == 302
            assert "/login/" in answer.headers["Location"]


def test_who_signed_in_and_is_no_operator_is_told_so(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("admin:index"), follow=True).status_code == 403


@pytest.mark.parametrize("model", OURS)
def test_what_actions_own_is_neither_added_changed_nor_deleted_here(
    world: None, staff: Client, model: type[Model]
) -> None:
    first = model._default_manager.first()
    assert first is not None
    assert (staff.get(address(model, "add")).status_code == 200) == (model in ADDED_HERE)
    deletes = staff.get(address(model, "delete", first.pk)).status_code == 200
    assert deletes == (model in DELETED_HERE)
    if model not in CHANGED_HERE:
        before = rows()
        assert staff.post(address(model, "change", first.pk), {"name": "x"}).status_code == 403
        assert rows() == before


def test_secrets_are_not_shown(world: None, staff: Client, host: Host, vm: Vm) -> None:
    Vm.objects.update(user_data="#!/bin/sh\necho hunter2")
    token = ApiToken.objects.get()
    assert host.key not in staff.get(address(Host, "change", host.pk)).content.decode()
    assert "hunter2" not in staff.get(address(Vm, "change", vm.pk)).content.decode()
    assert token.digest not in staff.get(address(ApiToken, "change", token.pk)).content.decode()


def test_a_host_is_added_with_its_addresses(staff: Client) -> None:
    answer = staff.post(
        address(Host, "add"),
        {
            "name": "h9",
            "accelerator": "auto",
            "reserved_ports": "[8080]",
            "transit_block": "100.64.0.0/10",
            "public_addresses-TOTAL_FORMS": "1",
            "public_addresses-INITIAL_FORMS": "0",
            "public_addresses-0-address": "198.51.100.9",
            "public_addresses-0-is_default": "on",
            "public_addresses-0-first_port": "20000",
            "public_addresses-0-last_port": "20100",
        },
    )
    assert answer.status_code == 302, answer.content.decode()
    host = Host.objects.get(name="h9")
    assert len(host.key) == 64
    assert host.reserved_ports == [8080]
    assert host.public_addresses.get().address == "198.51.100.9"
    assert AuditEvent.objects.get(action="host.added_by_operator").object_name == "h9"


@pytest.mark.parametrize("ports", ['"x"', "[0]", "[70000]", '["a"]', "7"])
def test_reserved_ports_are_a_list_of_ports(staff: Client, host: Host, ports: str) -> None:
    form = {
        "accelerator": "auto",
        "reserved_ports": ports,
        "public_addresses-TOTAL_FORMS": "0",
        "public_addresses-INITIAL_FORMS": "0",
    }
    answer = staff.post(address(Host, "change", host.pk), form)
    assert answer.status_code == 200
    assert "port" in answer.content.decode()
    host.refresh_from_db()
    assert host.reserved_ports == []


def test_a_member_is_added_to_a_project(staff: Client, project: Project, mallory: User) -> None:
    form = {"project": project.pk, "user": mallory.pk, "role": Role.VIEWER}
    assert staff.post(address(Membership, "add"), form).status_code == 302
    assert Project.objects.visible_to(mallory).filter(pk=project.pk).exists()


@pytest.mark.parametrize(
    ("model", "name", "action"),
    [
        (Network, "check", "network.check"),
        (Network, "repair", "network.repair"),
        (Vm, "check", "vm.check"),
        (Vm, "repair", "vm.repair"),
        (Job, "retry", "vm.repair"),
    ],
)
def test_buttons_call_the_same_actions(
    world: None, staff: Client, model: type[Model], name: str, action: str
) -> None:
    for network in Network.objects.exclude(job__status=Status.SUCCEEDED):
        finish_job(network.job)
    found = model._default_manager.first()
    assert found is not None
    before = Job.objects.count()
    page = address(model, "ask", found.pk, name)
    if model is Job:
        Job.objects.filter(pk=found.pk).update(status=Status.SUCCEEDED)
        assert page not in staff.get(address(model, "change", found.pk)).content.decode()
        Job.objects.filter(pk=found.pk).update(status=Status.FAILED)
    assert page in staff.get(address(model, "change", found.pk)).content.decode()
    assert staff.get(page).status_code == 405
    assert staff.post(page).status_code == 302
    assert Job.objects.count() == before + 1
    newest = Job.objects.latest("pk")
    assert newest.requested_by is not None
    assert newest.requested_by.username == "otto"
    event = AuditEvent.objects.filter(job_uuid=newest.uuid).latest("pk")
    assert (event.action, event.source) == (action, "127.0.0.1")


def test_buttons_work_on_many_at_once_and_say_what_was_refused(
    world: None, staff: Client, network: Network
) -> None:
    chosen = list(Job.objects.values_list("pk", flat=True))
    form = {"action": "retry", "_selected_action": chosen}
    answer = staff.post(address(Job, "changelist"), form, follow=True)
    text = answer.content.decode()
    assert text.count("Retry: ") == len(chosen)
    answer = staff.post(
        address(Job, "ask", Job.objects.filter(status=Status.QUEUED).first().pk, "retry"),  # type: ignore[union-attr]
        follow=True,
    )
    assert "is still queued" in answer.content.decode()


def test_buttons_are_for_staff(world: None, alice: User) -> None:
    client = Client()
    client.force_login(alice)
    network = Network.objects.get(name="home")
    before = Job.objects.count()
    assert client.post(address(Network, "ask", network.pk, "repair")).status_code == 302
    assert Job.objects.count() == before


@pytest.mark.parametrize("model", [Network, Reservation, Forward, PortClaim, Job, AuditEvent])
def test_long_lists_take_as_many_queries_as_short_ones(
    world: None,
    staff: Client,
    actor: Actor,
    reservation: Reservation,
    model: type[Model],
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert staff.get(address(model, "changelist")).status_code == 200
        return len(captured)

    add_forward(actor, reservation=reservation.uuid, target_port=1)
    queries()
    short = queries()
    for number in range(20):
        add_forward(actor, reservation=reservation.uuid, target_port=100 + number)
    assert queries() == short
