"""What people ask of networks and reservations, and every way in which it is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.models import Job, Status
from kvmweb.projects.actions import Actor, create_project
from kvmweb.projects.models import AuditEvent, Project
from networks.actions import (
    add_reservation,
    change_network,
    create_network,
    delete_network,
    delete_reservation,
    repair_network,
)
from networks.models import Network, Reservation
from networks.spec_from_rows import build_spec
from tests.cast import finish_job, missing
from tests.refusals import refused
from vms.models import Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_a_new_network_asks_for_a_job_and_is_audited(
    alice: User, project: Project, public_address: PublicAddress
) -> None:
    actor = Actor(alice, source="203.0.113.9", token="kvmw_abc")
    network = create_network(actor, name="home", ipv4_subnet="10.60.0.0/24", project=project.uuid)
    assert (network.generation, network.applied_generation) == (1, 0)
    assert network.state.value == "creating"
    assert network.source_address == public_address
    assert network.job is not None
    assert (network.job.status, network.job.title) == ("queued", "Create network home")
    assert network.job.requested_by == alice
    event = AuditEvent.objects.get(action="network.create")
    assert (event.actor, event.source, event.token) == (alice, "203.0.113.9", "kvmw_abc")
    assert (event.object_uuid, event.job_uuid) == (network.uuid, network.job.uuid)
    assert event.data == {"subnet": "10.60.0.0/24"}


def test_without_a_project_it_goes_to_the_users_own(
    mallory: User, public_address: PublicAddress
) -> None:
    network = create_network(Actor(mallory), name="home")
    assert network.project.personal_of == mallory


def test_without_a_subnet_a_free_one_is_picked(actor: Actor, network: Network) -> None:
    other = create_network(actor, name="other")
    assert other.ipv4_subnet == "10.60.1.0/24"


def test_an_isolated_network_has_no_public_address(
    actor: Actor, public_address: PublicAddress
) -> None:
    network = create_network(actor, name="quiet", mode="isolated")
    assert network.source_address is None
    assert build_spec(network)["source_address"] is None


BAD_SUBNETS = [
    ("10.60.0.5/24", Invalid, "invalid_subnet"),
    ("10.60.0.0", Invalid, "invalid_subnet"),
    ("10.60.0.0/33", Invalid, "invalid_subnet"),
    ("10.60.0.0/-1", Invalid, "invalid_subnet"),
    ("nonsense", Invalid, "invalid_subnet"),
    ("fd00::/64", Invalid, "invalid_subnet"),
    ("10.60.0.0/30", Invalid, "invalid_subnet"),
    ("10.60.0.0/8", Invalid, "invalid_subnet"),
    ("8.8.8.0/24", Invalid, "invalid_subnet"),
    ("172.0.0.0/24", Invalid, "invalid_subnet"),
    # The network “home”, whole, within and around.
    ("10.60.0.0/24", Conflict, "subnet_overlaps"),
    ("10.60.0.128/25", Conflict, "subnet_overlaps"),
    ("10.60.0.0/16", Conflict, "subnet_overlaps"),
    # A route of the host, whole, within and around.
    ("192.168.122.0/24", Conflict, "subnet_overlaps"),
    ("192.168.122.64/26", Conflict, "subnet_overlaps"),
    ("192.168.0.0/16", Conflict, "subnet_overlaps"),
]


@pytest.mark.parametrize(("subnet", "error", "code"), BAD_SUBNETS)
def test_an_unfit_subnet_is_refused(
    actor: Actor, network: Network, subnet: str, error: Any, code: str
) -> None:
    with refused(error, "ipv4_subnet", code=code):
        create_network(actor, name="other", ipv4_subnet=subnet)


def test_a_subnet_on_an_address_of_the_host_is_refused(actor: Actor, network: Network) -> None:
    facts = {"addresses": [{"address": "10.70.0.9", "prefix": 32}]}
    Host.objects.filter(pk=network.host_id).update(facts=facts)
    with refused(Conflict, "ipv4_subnet", code="subnet_overlaps"):
        create_network(actor, name="other", ipv4_subnet="10.70.0.0/24")


def test_another_tenants_network_is_not_named(mallory: User, network: Network) -> None:
    with pytest.raises(Conflict) as caught:
        create_network(Actor(mallory), name="mine", ipv4_subnet="10.60.0.0/24")
    assert "home" not in caught.value.message
    assert "another network" in caught.value.message


BAD_NAMES = ["", " ", "<b>x</b>", "x" * 300, "-x", "x-", "Ünicode", "a b", "A", "a.b", "a_b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_an_unfit_name_is_refused(actor: Actor, network: Network, name: str) -> None:
    with refused(Invalid, "name", code="invalid_name"):
        create_network(actor, name=name)
    with refused(Invalid, "name", code="invalid_name"):
        change_network(actor, network.uuid, name=name)
    with refused(Invalid, "name", code="invalid_name"):
        add_reservation(actor, network=network.uuid, name=name)


def test_a_name_is_given_once_in_a_project(
    actor: Actor, project: Project, network: Network
) -> None:
    with refused(Conflict, "name", code="name_taken"):
        create_network(actor, name="home", project=project.uuid)
    elsewhere = create_project(actor, name="Elsewhere")
    assert create_network(actor, name="home", project=elsewhere.uuid).name == "home"


def test_unknown_words_are_refused(actor: Actor, network: Network) -> None:
    with refused(Invalid, "mode"):
        create_network(actor, name="other", mode="bent")
    with refused(Invalid, "host"):
        create_network(actor, name="other", host=missing())
    with refused(Invalid, "project", code="no_such_project"):
        create_network(actor, name="other", project=missing())


def test_a_host_in_maintenance_takes_no_new_network(actor: Actor, network: Network) -> None:
    Host.objects.update(maintenance=True)
    with refused(Invalid, "host"):
        create_network(actor, name="other")


def test_readers_and_strangers_change_nothing(
    bob: User, mallory: User, project: Project, network: Network
) -> None:
    for change in (
        lambda actor: create_network(actor, name="x", project=project.uuid),
        lambda actor: change_network(actor, network.uuid, name="x"),
        lambda actor: delete_network(actor, network.uuid),
        lambda actor: repair_network(actor, network.uuid),
        lambda actor: add_reservation(actor, network=network.uuid, name="x"),
    ):
        with refused(Forbidden):
            change(Actor(bob))
    with refused(NotFound):
        delete_network(Actor(mallory), network.uuid)
    with refused(Invalid, "network"):
        add_reservation(Actor(mallory), network=network.uuid, name="x")
    with refused(Invalid, "project"):
        create_network(Actor(mallory), name="x", project=project.uuid)


def test_renaming_is_a_new_generation(actor: Actor, network: Network) -> None:
    before = network.generation
    renamed = change_network(actor, network.uuid, name="office")
    assert (renamed.name, renamed.generation) == ("office", before + 1)
    assert AuditEvent.objects.get(action="network.change").data == {"name": ["home", "office"]}


def test_a_network_in_use_is_not_deleted(actor: Actor, vm: Vm, network: Network) -> None:
    with refused(Conflict, code="network_in_use"):
        delete_network(actor, network.uuid)


def test_a_deleted_network_goes_when_its_host_has_let_go(
    actor: Actor, project: Project, network: Network
) -> None:
    add_reservation(actor, network=network.uuid, name="printer")
    network.refresh_from_db()
    finish_job(network.job)
    deleted = delete_network(actor, network.uuid)
    assert deleted.state.value == "deleting"
    assert build_spec(deleted)["present"] is False
    assert Network.objects.filter(pk=network.pk).exists()
    finish_job(deleted.job)
    assert not Network.objects.exists()
    assert not Reservation.objects.exists()
    assert create_network(actor, name="home", ipv4_subnet="10.60.0.0/24", project=project.uuid)


def test_nothing_more_happens_to_a_network_that_goes(actor: Actor, network: Network) -> None:
    delete_network(actor, network.uuid)
    with refused(Conflict, code="deleting"):
        delete_network(actor, network.uuid)
    with refused(Conflict, code="deleting"):
        change_network(actor, network.uuid, name="x")
    with refused(Conflict, "network", code="deleting"):
        add_reservation(actor, network=network.uuid, name="x")


def test_deleting_what_was_never_started_says_so_in_the_jobs_title(
    actor: Actor, public_address: PublicAddress
) -> None:
    network = create_network(actor, name="short-lived")
    deleted = delete_network(actor, network.uuid)
    assert deleted.job is not None
    assert deleted.job.title == "Delete network short-lived"
    assert Job.objects.count() == 1


def test_repair_is_a_new_generation_of_the_same(actor: Actor, network: Network) -> None:
    job = repair_network(actor, network.uuid)
    network.refresh_from_db()
    assert (job.status, job.title) == (Status.QUEUED, "Repair network home")
    assert network.generation == 2
    assert AuditEvent.objects.filter(action="network.repair", job_uuid=job.uuid).exists()


def test_a_reservation_gets_a_free_address_and_mac(actor: Actor, network: Network) -> None:
    first = add_reservation(actor, network=network.uuid, name="one")
    second = add_reservation(actor, network=network.uuid, name="two")
    assert [first.address, second.address] == ["10.60.0.2", "10.60.0.3"]
    assert re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", first.mac)
    assert first.mac != second.mac
    network.refresh_from_db()
    assert network.generation == second.since == 3


def test_a_reservation_takes_what_was_asked_for(actor: Actor, network: Network) -> None:
    made = add_reservation(
        actor, network=network.uuid, name="nas", address="10.60.0.200", mac="52-54-00-AA-BB-CC"
    )
    assert (made.address, made.mac) == ("10.60.0.200", "52:54:00:aa:bb:cc")


@pytest.mark.parametrize(
    "address", ["10.60.0.0", "10.60.0.1", "10.60.0.255", "10.61.0.7", "x", "10.60.0.7/24", "::1"]
)
def test_an_unfit_address_is_refused(actor: Actor, network: Network, address: str) -> None:
    with refused(Invalid, "address"):
        add_reservation(actor, network=network.uuid, name="x", address=address)


@pytest.mark.parametrize("mac", ["x", "52:54:00:12:34", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"])
def test_an_unfit_mac_is_refused(actor: Actor, network: Network, mac: str) -> None:
    with refused(Invalid, "mac"):
        add_reservation(actor, network=network.uuid, name="x", mac=mac)


def test_addresses_macs_and_names_are_given_once(
    actor: Actor, network: Network, reservation: Reservation
) -> None:
    with refused(Conflict, "address", code="address_taken"):
        add_reservation(actor, network=network.uuid, name="x", address=str(reservation.address))
    with refused(Conflict, "mac", code="mac_taken"):
        add_reservation(actor, network=network.uuid, name="x", mac=reservation.mac)
    with refused(Conflict, "name", code="name_taken"):
        add_reservation(actor, network=network.uuid, name=reservation.name)


def test_a_full_network_gives_no_address(actor: Actor, public_address: PublicAddress) -> None:
    small = create_network(actor, name="small", ipv4_subnet="10.62.0.0/29")
    for number in range(5):
        add_reservation(actor, network=small.uuid, name=f"r{number}")
    with refused(Conflict, "network", code="subnet_full"):
        add_reservation(actor, network=small.uuid, name="r5")


def test_a_reservation_of_a_vm_stays(actor: Actor, reservation: Reservation) -> None:
    with refused(Conflict, code="reservation_in_use"):
        delete_reservation(actor, reservation.uuid)


def test_a_released_address_is_free_when_the_host_has_let_go(
    actor: Actor, network: Network
) -> None:
    reservation = add_reservation(actor, network=network.uuid, name="nas", address="10.60.0.9")
    network.refresh_from_db()
    finish_job(network.job)
    delete_reservation(actor, reservation.uuid)
    with refused(Conflict, "address", code="address_taken"):
        add_reservation(actor, network=network.uuid, name="x", address="10.60.0.9")
    with refused(Conflict, code="deleting"):
        delete_reservation(actor, reservation.uuid)
    network.refresh_from_db()
    finish_job(network.job)
    assert not Reservation.objects.filter(pk=reservation.pk).exists()
    assert add_reservation(actor, network=network.uuid, name="x", address="10.60.0.9")
