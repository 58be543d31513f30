"""Many forwards in one request: all of them or none, ports that differ, one job per network."""

from __future__ import annotations

import pytest

from kvmweb.core.errors import Several
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import add_forwards, add_reservation, create_network
from networks.models import Forward, PortClaim, Reservation

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def one(reservation: Reservation, **options: object) -> dict[str, object]:
    return {"reservation": reservation.uuid, "target_port": 80, **options}


def test_chosen_and_picked_ports_never_meet(
    actor: Actor, reservation: Reservation, forward: Forward
) -> None:
    first = forward.public_address.first_port
    picked = [one(reservation, protocol=kind) for kind in ("tcp", "tcp+udp", "udp") * 10]
    chosen = [one(reservation, public_port=first + 1), one(reservation, public_port=first + 3)]
    made = add_forwards(actor, [*picked, *chosen])
    assert [each.protocol for each in made[:3]] == ["tcp", "tcp+udp", "udp"]
    assert [each.public_port for each in made[30:]] == [first + 1, first + 3]
    claimed = PortClaim.objects.values_list("protocol", "port")
    assert len(set(claimed)) == len(claimed) == 30 + 10 + 2 + 1
    assert AuditEvent.objects.filter(action="forward.create").count() == 32


def test_each_network_gets_one_job_and_one_generation(
    actor: Actor, reservation: Reservation
) -> None:
    other = create_network(actor, name="other")
    there = add_reservation(actor, network=other.uuid, name="there")
    before = reservation.network.generation
    made = add_forwards(actor, [one(reservation), one(there), one(reservation)])
    assert [each.reservation_id for each in made] == [reservation.pk, there.pk, reservation.pk]
    reservation.network.refresh_from_db()
    assert reservation.network.generation == before + 1
    assert {each.since for each in made if each.network_id != other.pk} == {before + 1}
    assert reservation.network.job is not None
    assert reservation.network.job.title == "Forward 2 ports"


def test_all_that_is_wrong_is_said_and_nothing_is_written(
    actor: Actor, reservation: Reservation, forward: Forward
) -> None:
    entries = [
        one(reservation),
        one(reservation, public_port=forward.public_port),
        {"reservation": forward.uuid, "target_port": 80},
        one(reservation, public_port=30001),
        one(reservation, public_port=30001),
    ]
    with pytest.raises(Several) as refused:
        add_forwards(actor, entries)
    assert [(each.field, each.code) for each in refused.value.errors] == [
        ("forwards.1.public_port", "port_taken"),
        ("forwards.2.reservation", "no_such_reservation"),
        ("forwards.4.public_port", "port_taken"),
    ]
    assert list(Forward.objects.all()) == [forward]


def test_rows_of_ports_are_found_between_what_was_chosen(
    actor: Actor, reservation: Reservation, forward: Forward
) -> None:
    first = forward.public_address.first_port
    row = {"reservation": reservation.uuid, "ports": 10, "sources": ["198.51.100.7"]}
    made = add_forwards(actor, [one(reservation), row, one(reservation, public_port=first + 5)])
    assert [each.public_port for each in made] == [first, first + 6, first + 5]
    assert (made[1].ports, made[1].sources) == (10, ["198.51.100.7/32"])
