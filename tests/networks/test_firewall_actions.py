"""Rule sets: what they open reaches the hosts of exactly the networks that use them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.projects.actions import Actor, create_project
from networks.actions import (
    apply_to_network,
    apply_to_reservation,
    change_address_set,
    change_rule_set,
    create_address_set,
    create_network,
    create_rule_set,
    delete_address_set,
    delete_rule_set,
)
from networks.host.spec import InboundSpec, NetworkSpec
from networks.inbound import RuleText
from networks.models import Network, Reservation, RuleSet
from networks.spec_from_rows import build_spec
from tests.cast import finish_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]

WEB = RuleText("tcp", "80")


def spec_of(network: Network) -> NetworkSpec:
    found = Network.objects.get(pk=network.pk)
    return msgspec.convert(build_spec(found), NetworkSpec)


def opens(*rules: tuple[Any, ...]) -> list[InboundSpec]:
    names = ("cidr", "protocol", "first_port", "last_port")
    return [InboundSpec(**dict(zip(names, rule, strict=False))) for rule in rules]


def test_rules_become_openings_of_the_network_and_of_one_guest(
    actor: Actor, network: Network, reservation: Reservation
) -> None:
    web = create_rule_set(actor, name="web", rules=[WEB, RuleText("icmp")])
    ssh = RuleText("tcp", "22-23", sources=("198.51.100.7", "2001:db8::/32"))
    mine = create_rule_set(actor, name="mine", rules=[ssh])
    apply_to_network(actor, network.uuid, rule_sets=[web.uuid])
    apply_to_reservation(actor, reservation.uuid, rule_sets=[mine.uuid])
    spec = spec_of(network)
    assert list(spec.inbound) == opens(
        ("0.0.0.0/0", "tcp", 80, 80),
        ("::/0", "tcp", 80, 80),
        ("0.0.0.0/0", "icmp", 0, 0),
        ("::/0", "icmp", 0, 0),
    )
    assert list(spec.reservations[0].inbound) == opens(
        ("198.51.100.7/32", "tcp", 22, 23), ("2001:db8::/32", "tcp", 22, 23)
    )
    apply_to_network(actor, network.uuid, rule_sets=[])
    assert spec_of(network).inbound == ()


def test_no_guest_gets_more_openings_than_a_host_can_hold(
    actor: Actor, network: Network, reservation: Reservation
) -> None:
    many = create_address_set(actor, name="many", networks=[f"10.{n}.0.1" for n in range(100)])
    rule = RuleText("tcp", address_set=str(many.uuid))
    eight, two = (
        create_rule_set(actor, name=f"set-{count}", rules=[rule] * count) for count in (8, 2)
    )
    apply_to_network(actor, network.uuid, rule_sets=[eight.uuid])
    apply_to_reservation(actor, reservation.uuid, rule_sets=[two.uuid])
    more = [*many.networks, "10.100.0.1"]
    with refused(Conflict, "networks", code="too_many_openings"):
        change_address_set(actor, many.uuid, networks=more)
    with refused(Conflict, "rules", code="too_many_openings"):
        change_rule_set(actor, two.uuid, rules=[rule] * 3)
    with refused(Conflict, "rule_sets", code="too_many_openings"):
        apply_to_network(actor, network.uuid, rule_sets=[eight.uuid, two.uuid])
    assert len(spec_of(network).reservations[0].inbound) == 200


def test_a_changed_set_goes_to_the_networks_that_use_it_and_no_others(
    actor: Actor, network: Network, reservation: Reservation
) -> None:
    other = create_network(actor, name="other", ipv4_subnet="10.61.0.0/24")
    finish_job(other.job)
    office = create_address_set(actor, name="office", networks=["198.51.100.0/24"])
    rule_set = create_rule_set(
        actor, name="web", rules=[RuleText("any", address_set=str(office.uuid))]
    )
    apply_to_reservation(actor, reservation.uuid, rule_sets=[rule_set.uuid])
    before = {each.pk: each.generation for each in Network.objects.all()}
    change_address_set(actor, office.uuid, networks=["203.0.113.9"])
    after = {each.pk: each.generation for each in Network.objects.all()}
    assert after == {**before, network.pk: before[network.pk] + 1}
    assert spec_of(network).reservations[0].inbound[0].cidr == "203.0.113.9/32"
    change_rule_set(actor, rule_set.uuid, rules=[])
    assert spec_of(network).reservations[0].inbound == ()


def test_an_empty_address_set_is_nobody(actor: Actor, network: Network) -> None:
    office = create_address_set(actor, name="office", networks=[])
    rule_set = create_rule_set(
        actor, name="web", rules=[RuleText("any", address_set=str(office.uuid))]
    )
    apply_to_network(actor, network.uuid, rule_sets=[rule_set.uuid])
    assert spec_of(network).inbound == ()


def test_a_new_name_goes_to_no_host(actor: Actor, network: Network) -> None:
    rule_set = create_rule_set(actor, name="web", rules=[WEB])
    apply_to_network(actor, network.uuid, rule_sets=[rule_set.uuid])
    before = Network.objects.get(pk=network.pk).generation
    change_rule_set(actor, rule_set.uuid, name="shop")
    assert Network.objects.get(pk=network.pk).generation == before


def test_what_is_in_use_is_not_removed(actor: Actor, network: Network) -> None:
    office = create_address_set(actor, name="office", networks=["198.51.100.0/24"])
    rule_set = create_rule_set(
        actor, name="web", rules=[RuleText("any", address_set=str(office.uuid))]
    )
    apply_to_network(actor, network.uuid, rule_sets=[rule_set.uuid])
    with refused(Conflict, code="address_set_in_use"):
        delete_address_set(actor, office.uuid)
    with refused(Conflict, code="rule_set_in_use"):
        delete_rule_set(actor, rule_set.uuid)
    apply_to_network(actor, network.uuid, rule_sets=[])
    delete_rule_set(actor, rule_set.uuid)
    delete_address_set(actor, office.uuid)
    assert not RuleSet.objects.exists()


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (RuleText("tcp", "0"), "rules.1.ports"),
        (RuleText("tcp", "90-80"), "rules.1.ports"),
        (RuleText("tcp", "70000"), "rules.1.ports"),
        (RuleText("tcp", "http"), "rules.1.ports"),
        (RuleText("icmp", "80"), "rules.1.ports"),
        (RuleText("gre"), "rules.1.protocol"),
        (RuleText("tcp", "80", sources=("nonsense",)), "rules.1.sources"),
        (RuleText("tcp", "80", address_set="x"), "rules.1.address_set"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_written(
    actor: Actor, rule: RuleText, field: str
) -> None:
    with refused(Invalid, field):
        create_rule_set(actor, name="web", rules=[WEB, rule])
    assert not RuleSet.objects.exists()


def test_names_are_once_in_a_project(actor: Actor) -> None:
    create_rule_set(actor, name="web")
    with refused(Conflict, "name", code="name_taken"):
        create_rule_set(actor, name="web")


def test_sets_of_others_are_not_to_be_had(
    actor: Actor, network: Network, mallory: User, alice: User
) -> None:
    theirs = create_rule_set(Actor(mallory), name="theirs", rules=[WEB])
    with refused(Invalid, "rule_sets"):
        apply_to_network(actor, network.uuid, rule_sets=[theirs.uuid])
    with pytest.raises(NotFound):
        change_rule_set(actor, theirs.uuid, rules=[])
    elsewhere = create_project(Actor(alice), name="Elsewhere")
    another = create_rule_set(actor, name="another", project=elsewhere.uuid)
    with refused(Invalid, "rule_sets"):
        apply_to_network(actor, network.uuid, rule_sets=[another.uuid])


def test_a_spec_needs_no_more_queries_with_more_rules(
    actor: Actor, network: Network, reservation: Reservation
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            spec_of(network)
        return len(captured)

    def add(number: int) -> None:
        office = create_address_set(actor, name=f"o{number}", networks=["198.51.100.0/24"])
        rules = [WEB, RuleText("any", address_set=str(office.uuid))]
        create_rule_set(actor, name=f"s{number}", rules=rules)
        every = [each.uuid for each in RuleSet.objects.all()]
        apply_to_network(actor, network.uuid, rule_sets=every)
        apply_to_reservation(actor, reservation.uuid, rule_sets=every)

    add(1)
    few = queries()
    for number in range(2, 6):
        add(number)
    assert queries() == few
