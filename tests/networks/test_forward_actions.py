"""What people ask of forwards, and every way in which it is refused."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.host.progress import Outcome
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import (
    add_forward,
    add_reservation,
    change_forward,
    change_network,
    create_network,
    delete_forward,
    delete_reservation,
)
from networks.models import Forward, Network, PortClaim, Reservation
from networks.ports import warning_for
from networks.spec_from_rows import build_spec
from tests.cast import FACTS, finish_job, missing, report, start_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def finish_network(pk: int) -> None:
    finish_job(Network.objects.get(pk=pk).job)


def test_a_forward_claims_its_port_and_asks_for_the_networks_job(
    actor: Actor, reservation: Reservation
) -> None:
    forward = add_forward(
        actor, reservation=reservation.uuid, target_port=80, public_port=8080, note="shop"
    )
    assert forward.public_endpoint == "198.51.100.11:8080"
    assert [(claim.protocol, claim.port) for claim in forward.claims.all()] == [("tcp", 8080)]
    network = Network.objects.get(pk=reservation.network_id)
    assert forward.since == network.generation
    assert network.job is not None
    assert (network.job.status, network.job.title) == ("queued", f"Forward {forward}")
    event = AuditEvent.objects.get(action="forward.create", object_uuid=forward.uuid)
    assert event.job_uuid == network.job.uuid


def test_tcp_and_udp_are_two_entries_of_one_number(actor: Actor, reservation: Reservation) -> None:
    forward = add_forward(
        actor, reservation=reservation.uuid, target_port=53, public_port=53, protocol="tcp+udp"
    )
    spec = build_spec(Network.objects.get(pk=reservation.network_id))
    entries = [entry for entry in spec["forwards"] if entry["id"] == str(forward.uuid)]
    assert [entry["protocol"] for entry in entries] == ["tcp", "udp"]
    assert {entry["number"] for entry in entries} == {forward.pk}
    assert {(entry["address"], entry["port"]) for entry in entries} == {(reservation.address, 53)}


def test_the_same_port_may_serve_tcp_here_and_udp_there(
    actor: Actor, reservation: Reservation
) -> None:
    for protocol in ("tcp", "udp"):
        add_forward(
            actor,
            reservation=reservation.uuid,
            target_port=53,
            public_port=53,
            protocol=protocol,
        )
    with refused(Conflict, "public_port", code="port_taken"):
        add_forward(
            actor, reservation=reservation.uuid, target_port=1, public_port=53, protocol="tcp+udp"
        )


def test_without_a_public_port_the_first_free_one_is_picked(
    actor: Actor, reservation: Reservation
) -> None:
    facts = {**FACTS, "listeners": [{"protocol": "tcp", "address": "::", "port": 20000}]}
    Host.objects.update(facts=facts, reserved_ports=[20001])
    made = [add_forward(actor, reservation=reservation.uuid, target_port=80) for _ in range(2)]
    assert [forward.public_port for forward in made] == [20002, 20003]


def test_an_ephemeral_port_is_never_picked_but_allowed_with_a_warning(
    actor: Actor, reservation: Reservation, public_address: PublicAddress
) -> None:
    PublicAddress.objects.update(first_port=32760, last_port=40000)
    Host.objects.update(reserved_ports=list(range(32760, 32768)))
    with refused(Conflict, "public_port", code="ports_exhausted"):
        add_forward(actor, reservation=reservation.uuid, target_port=80)
    forward = add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=40000)
    assert "40000" in warning_for(forward.public_address, 40000)
    assert warning_for(forward.public_address, 8080) == ""


@pytest.mark.parametrize(
    ("port", "error", "code"),
    [
        (20022, Conflict, "port_taken"),
        (5432, Conflict, "port_in_use"),
        (22, Conflict, "port_reserved"),
        (8000, Conflict, "port_reserved"),
        (6000, Conflict, "port_reserved"),
        (0, Invalid, "invalid"),
        (-1, Invalid, "invalid"),
        (65536, Invalid, "invalid"),
    ],
)
def test_an_unusable_public_port_is_refused(
    actor: Actor, reservation: Reservation, port: int, error: type[Conflict], code: str
) -> None:
    Host.objects.update(reserved_ports=[6000])
    with refused(error, "public_port", code=code):
        add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=port)


def test_a_port_heard_on_another_protocol_or_address_is_free(
    actor: Actor, reservation: Reservation
) -> None:
    listeners = [
        {"protocol": "udp", "address": "0.0.0.0", "port": 7000},  # noqa: S104
        {"protocol": "tcp", "address": "127.0.0.1", "port": 7000},
    ]
    Host.objects.update(facts={**FACTS, "listeners": listeners})
    assert add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=7000)


@pytest.mark.parametrize("port", [0, -5, 65536, 10**12])
def test_an_impossible_target_port_is_refused(
    actor: Actor, forward: Forward, reservation: Reservation, port: int
) -> None:
    with refused(Invalid, "target_port"):
        add_forward(actor, reservation=reservation.uuid, target_port=port)
    with refused(Invalid, "target_port"):
        change_forward(actor, forward.uuid, target_port=port)


def test_unknown_words_are_refused(actor: Actor, reservation: Reservation) -> None:
    with refused(Invalid, "protocol"):
        add_forward(actor, reservation=reservation.uuid, target_port=80, protocol="sctp")
    with refused(Invalid, "public_address"):
        add_forward(actor, reservation=reservation.uuid, target_port=80, public_address=missing())
    with refused(Invalid, "reservation", code="no_such_reservation"):
        add_forward(actor, reservation=missing(), target_port=80)


def test_an_address_of_another_host_is_refused(actor: Actor, reservation: Reservation) -> None:
    other = Host.objects.create(name="h2")
    elsewhere = PublicAddress.objects.create(host=other, address="198.51.100.12")
    with refused(Invalid, "public_address"):
        add_forward(
            actor, reservation=reservation.uuid, target_port=80, public_address=elsewhere.uuid
        )


def test_a_second_address_of_the_host_has_ports_of_its_own(
    actor: Actor, reservation: Reservation, host: Host
) -> None:
    second = PublicAddress.objects.create(host=host, address="198.51.100.13")
    forward = add_forward(
        actor,
        reservation=reservation.uuid,
        target_port=22,
        public_port=20022,
        public_address=second.uuid,
    )
    assert forward.public_endpoint == "198.51.100.13:20022"


def test_nothing_is_forwarded_into_an_isolated_network(
    actor: Actor, public_address: PublicAddress
) -> None:
    quiet = create_network(actor, name="quiet", mode="isolated")
    inside = add_reservation(actor, network=quiet.uuid, name="x")
    with refused(Conflict, "reservation", code="network_isolated"):
        add_forward(actor, reservation=inside.uuid, target_port=80)


def test_nothing_is_forwarded_to_an_address_that_goes(actor: Actor, network: Network) -> None:
    inside = add_reservation(actor, network=network.uuid, name="x")
    delete_reservation(actor, inside.uuid)
    with refused(Conflict, "reservation", code="deleting"):
        add_forward(actor, reservation=inside.uuid, target_port=80)


def test_readers_and_strangers_change_nothing(
    bob: User, mallory: User, forward: Forward, reservation: Reservation
) -> None:
    with refused(Forbidden):
        add_forward(Actor(bob), reservation=reservation.uuid, target_port=80)
    with refused(Forbidden):
        change_forward(Actor(bob), forward.uuid, target_port=80)
    with refused(Forbidden):
        delete_forward(Actor(bob), forward.uuid)
    with refused(Invalid, "reservation"):
        add_forward(Actor(mallory), reservation=reservation.uuid, target_port=80)
    with refused(NotFound):
        change_forward(Actor(mallory), forward.uuid, target_port=80)
    with refused(NotFound):
        delete_forward(Actor(mallory), forward.uuid)


def test_a_forward_leads_elsewhere_and_keeps_its_public_port(
    actor: Actor, forward: Forward
) -> None:
    changed = change_forward(actor, forward.uuid, target_port=2222, note="ssh")
    assert (changed.public_port, changed.target_port, changed.note) == (20022, 2222, "ssh")
    assert changed.state.value == "creating"
    spec = build_spec(Network.objects.get(pk=changed.network_id))
    assert [entry["port"] for entry in spec["forwards"]] == [2222]


def test_a_removed_forward_holds_its_port_until_the_host_has_let_go(
    actor: Actor, forward: Forward, reservation: Reservation
) -> None:
    delete_forward(actor, forward.uuid)
    network = Network.objects.get(pk=forward.network_id)
    assert not build_spec(network)["forwards"]
    assert Forward.objects.get(pk=forward.pk).state.value == "deleting"
    with refused(Conflict, "public_port", code="port_taken"):
        add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=20022)
    with refused(Conflict, code="deleting"):
        change_forward(actor, forward.uuid, note="x")
    with refused(Conflict, code="deleting"):
        delete_forward(actor, forward.uuid)
    finish_network(network.pk)
    assert not Forward.objects.filter(pk=forward.pk).exists()
    assert not PortClaim.objects.filter(port=20022).exists()
    assert add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=20022)


def test_an_older_generation_applied_does_not_free_the_port(
    actor: Actor, forward: Forward, network: Network
) -> None:
    change_network(actor, network.uuid, name="office")
    network.refresh_from_db()
    running = start_job(network.job)
    delete_forward(actor, forward.uuid)
    report(running, outcome=Outcome(ok=True, generation=running.generation or 0))
    assert PortClaim.objects.filter(forward=forward).exists()
    finish_network(network.pk)
    assert not PortClaim.objects.filter(port=20022).exists()
