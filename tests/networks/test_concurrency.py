"""Twenty at once: what must never be doubled is not, and whoever comes second is told so.

Runs on SQLite, and on PostgreSQL by `python -m tests.postgres`.
"""

from __future__ import annotations

from itertools import combinations

import pytest
from django.contrib.auth.models import User
from django.db.models import Model

from kvmweb.core.errors import Conflict
from kvmweb.hosts.models import PublicAddress
from kvmweb.jobs.dispatch import sync
from kvmweb.jobs.models import Job, Status
from kvmweb.projects.actions import Actor, personal_project
from kvmweb.projects.models import Membership, Project
from networks.actions import (
    add_forward,
    add_reservation,
    ask_peering,
    change_network,
    create_network,
    delete_forward,
    delete_network,
    end_peering,
)
from networks.models import Forward, Network, Peering, PortClaim, Reservation
from tests.at_once import at_once, split
from vms.actions import NewForward, NewNetwork, NewVm, create_vm, delete_vm
from vms.models import Image, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

MANY = 20


def codes(errors: list[Exception]) -> set[str]:
    for error in errors:
        assert isinstance(error, Conflict), repr(error)
    return {error.code for error in errors if isinstance(error, Conflict)}


def test_a_port_is_given_once(actor: Actor, reservation: Reservation) -> None:
    good, errors = split(
        at_once(
            MANY,
            lambda _: add_forward(
                actor, reservation=reservation.uuid, target_port=80, public_port=8080
            ),
        )
    )
    assert len(good) == 1
    assert len(errors) == MANY - 1
    assert codes(errors) == {"port_taken"}
    assert Forward.objects.filter(public_port=8080).count() == 1
    assert PortClaim.objects.filter(port=8080).count() == 1


def test_protocols_share_no_port_by_halves(actor: Actor, reservation: Reservation) -> None:
    protocols = ("tcp", "udp", "tcp+udp")
    good, errors = split(
        at_once(
            12,
            lambda number: add_forward(
                actor,
                reservation=reservation.uuid,
                target_port=53,
                public_port=5353,
                protocol=protocols[number % 3],
            ),
        )
    )
    assert codes(errors) == {"port_taken"}
    held = sorted(protocol for forward in good for protocol in forward.protocols)
    assert held in (["tcp", "udp"], ["tcp"], ["udp"])
    assert PortClaim.objects.filter(port=5353).count() == len(held)


def test_picked_ports_are_all_different(actor: Actor, reservation: Reservation) -> None:
    good, errors = split(
        at_once(MANY, lambda _: add_forward(actor, reservation=reservation.uuid, target_port=80))
    )
    assert errors == []
    assert len({forward.public_port for forward in good}) == MANY


def test_many_changes_at_once_are_one_queued_job(actor: Actor, reservation: Reservation) -> None:
    before = reservation.network.generation
    _good, errors = split(
        at_once(MANY, lambda _: add_forward(actor, reservation=reservation.uuid, target_port=80))
    )
    assert errors == []
    network = Network.objects.get(pk=reservation.network_id)
    assert network.generation == before + MANY
    queued = Job.objects.of("network", network.uuid).filter(status=Status.QUEUED)
    assert [job.pk for job in queued] == [network.job_id]


def test_a_subnet_is_given_once(
    actor: Actor, project: Project, public_address: PublicAddress
) -> None:
    good, errors = split(
        at_once(
            MANY,
            lambda number: create_network(
                actor, name=f"n{number}", ipv4_subnet="10.80.0.0/24", project=project.uuid
            ),
        )
    )
    assert len(good) == 1
    assert codes(errors) == {"subnet_overlaps"}
    assert Network.objects.count() == 1


def test_picked_subnets_do_not_overlap(
    actor: Actor, project: Project, public_address: PublicAddress
) -> None:
    good, errors = split(
        at_once(
            MANY,
            lambda number: create_network(actor, name=f"n{number}", project=project.uuid),
        )
    )
    assert errors == []
    subnets = [network.subnet for network in good]
    assert not any(one.overlaps(other) for one, other in combinations(subnets, 2))


def test_a_networks_name_is_given_once(
    actor: Actor, project: Project, public_address: PublicAddress
) -> None:
    good, errors = split(
        at_once(MANY, lambda _: create_network(actor, name="same", project=project.uuid))
    )
    assert len(good) == 1
    assert codes(errors) == {"name_taken"}


def test_renaming_does_not_double_a_name(
    actor: Actor, project: Project, public_address: PublicAddress
) -> None:
    made = [create_network(actor, name=f"n{n}", project=project.uuid) for n in range(6)]

    def rename_or_create(number: int) -> Network:
        if number < len(made):
            return change_network(actor, made[number].uuid, name="same")
        return create_network(actor, name="same", project=project.uuid)

    good, errors = split(at_once(12, rename_or_create))
    assert len(good) == 1
    assert codes(errors) == {"name_taken"}


def test_a_vms_name_is_given_once(actor: Actor, network: Network, image: Image) -> None:
    wanted = NewVm(name="same", network=network.uuid, image=image.uuid)
    good, errors = split(at_once(MANY, lambda _: create_vm(actor, wanted)))
    assert len(good) == 1
    assert codes(errors) == {"name_taken"}
    assert Vm.objects.count() == 1


def test_reserved_addresses_and_macs_are_all_different(actor: Actor, network: Network) -> None:
    good, errors = split(
        at_once(
            MANY, lambda number: add_reservation(actor, network=network.uuid, name=f"r{number}")
        )
    )
    assert errors == []
    assert len({reservation.address for reservation in good}) == MANY
    assert len({reservation.mac for reservation in good}) == MANY


def test_an_address_is_given_once(actor: Actor, network: Network) -> None:
    good, errors = split(
        at_once(
            MANY,
            lambda number: add_reservation(
                actor, network=network.uuid, name=f"r{number}", address="10.60.0.77"
            ),
        )
    )
    assert len(good) == 1
    assert codes(errors) == {"address_taken"}


def test_new_vms_and_forwards_at_once_do_not_lock_each_other_out(
    actor: Actor, project: Project, reservation: Reservation, image: Image
) -> None:
    def change(number: int) -> Model:
        if number % 2:
            return add_forward(actor, reservation=reservation.uuid, target_port=80)
        network = NewNetwork(name=f"n{number}") if number % 4 else reservation.network.uuid
        return create_vm(
            actor,
            NewVm(
                name=f"v{number}",
                network=network,
                image=image.uuid,
                forwards=[NewForward(target_port=22)],
                project=project.uuid,
            ),
        )

    _good, errors = split(at_once(MANY, change))
    assert errors == []
    ports = PortClaim.objects.values_list("port", flat=True)
    assert len(ports) == len(set(ports)) == MANY + 1


def test_a_vm_that_goes_keeps_no_forward(actor: Actor, vm: Vm, reservation: Reservation) -> None:
    def change(number: int) -> Model:
        if number == 3:
            return delete_vm(actor, vm.uuid)
        return add_forward(actor, reservation=reservation.uuid, target_port=80)

    _good, errors = split(at_once(8, change))
    assert codes(errors) <= {"deleting"}
    network = Network.objects.get(pk=reservation.network_id)
    assert not Forward.objects.filter(present=True).exists()
    for forward in Forward.objects.all():
        assert forward.since <= network.generation


def test_a_forward_is_removed_once(actor: Actor, forward: Forward) -> None:
    good, errors = split(at_once(8, lambda _: delete_forward(actor, forward.uuid)))
    assert len(good) == 1
    assert codes(errors) == {"deleting"}


def test_a_queued_job_is_started_once(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, name="office")
    _good, errors = split(at_once(8, lambda _: sync("network", network.uuid)))
    assert errors == []
    job = Job.objects.of("network", network.uuid).get(status=Status.RUNNING)
    assert job.attempt == 1
    assert list(job.events.values_list("seq", flat=True)) == [1]


def test_a_user_gets_one_project(transactional_db: None) -> None:
    newcomer = User.objects.create_user("newcomer")
    good, errors = split(at_once(8, lambda _: personal_project(newcomer)))
    assert errors == []
    assert len({project.pk for project in good}) == 1
    assert Membership.objects.filter(user=newcomer).count() == 1


def test_two_networks_are_paired_once_whoever_asks(actor: Actor, network: Network) -> None:
    other = create_network(actor, name="other")
    ends = (network.uuid, other.uuid)
    good, errors = split(
        at_once(
            MANY,
            lambda number: ask_peering(actor, network=ends[number % 2], peer=ends[1 - number % 2]),
        )
    )
    assert len(good) == 1
    assert len(errors) == MANY - 1
    assert codes(errors) == {"already_peers"}
    assert Peering.objects.count() == 1


def test_networks_that_part_and_go_at_once_leave_no_half(actor: Actor, network: Network) -> None:
    others = [create_network(actor, name=f"n{number}") for number in range(4)]
    made = [ask_peering(actor, network=network.uuid, peer=other.uuid) for other in others]

    def part_or_delete(number: int) -> object:
        if number % 2:
            return end_peering(actor, made[number // 2].uuid)
        return delete_network(actor, others[number // 2].uuid)

    _, errors = split(at_once(8, part_or_delete))
    assert codes(errors) <= {"deleting"}
    assert not Peering.objects.filter(present=True).exists()
    assert Network.objects.filter(present=True).count() == 1
