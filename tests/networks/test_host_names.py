"""What people ask of host names, and every way in which it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor, personal_project
from kvmweb.projects.models import AuditEvent
from networks import usage
from networks.actions import (
    add_forward,
    add_host_name,
    add_reservation,
    change_host_name,
    create_network,
    delete_host_name,
    delete_reservation,
    set_ipv6,
)
from networks.host.spec import HostNameSpec
from networks.host_names import parse_name
from networks.models import Holding, HostName, HostNameUsage, Network, Reservation
from networks.spec_from_rows import build_spec
from tests.cast import FACTS, finish_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]

WWW = "www.example.org"


def specs(reservation: Reservation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = build_spec(Network.objects.get(pk=reservation.network_id))[
        "host_names"
    ]
    return found


def finish(reservation: Reservation) -> None:
    finish_job(Network.objects.get(pk=reservation.network_id).job)


@pytest.fixture
def hers(mallory: User, network: Network) -> Reservation:
    """A reservation of Mallory's on the same host."""
    actor = Actor(mallory)
    project = personal_project(mallory)
    own = create_network(actor, name="m", ipv4_subnet="10.66.0.0/24", project=project.uuid)
    return add_reservation(actor, network=own.uuid, name="m1")


def test_a_name_leads_to_a_vm_and_asks_for_the_networks_job(
    actor: Actor, reservation: Reservation
) -> None:
    made = add_host_name(
        actor, reservation=reservation.uuid, name=" WWW.Example.org. ", note="shop"
    )
    assert (made.name, made.http_port, made.tls, made.tls_port) == (WWW, 80, "passthrough", 443)
    network = Network.objects.get(pk=reservation.network_id)
    assert made.since == network.generation
    assert network.job is not None
    assert network.job.title == f"Lead {WWW} → web-1"
    assert AuditEvent.objects.get(action="host_name.create", object_uuid=made.uuid)
    (spec,) = specs(reservation)
    assert HostNameSpec(**spec) == HostNameSpec(
        id=str(made.uuid),
        number=made.pk,
        public_address="198.51.100.11",
        name=WWW,
        address=str(reservation.address),
        http_port=80,
        tls="passthrough",
        tls_port=443,
    )


def test_a_name_is_changed_and_given_up_when_the_host_let_go(
    actor: Actor, reservation: Reservation
) -> None:
    made = add_host_name(actor, reservation=reservation.uuid, name=WWW)
    changed = change_host_name(actor, made.uuid, http_port=None, tls_port=8443, proxy_protocol=True)
    assert (changed.http_port, changed.tls_port, changed.proxy_protocol) == (None, 8443, True)
    assert specs(reservation)[0]["http_port"] == 0
    changed = change_host_name(actor, made.uuid, http_port=8080, tls="off")
    assert (changed.tls_port, changed.proxy_protocol) == (None, False)
    delete_host_name(actor, made.uuid)
    assert not specs(reservation)
    with refused(Conflict, field="name", code="host_name_taken"):
        add_host_name(actor, reservation=reservation.uuid, name=WWW)
    finish(reservation)
    assert not HostName.objects.exists()
    add_host_name(actor, reservation=reservation.uuid, name=WWW)


def test_names_of_an_address_that_is_released_go_with_it(actor: Actor, network: Network) -> None:
    spare = add_reservation(actor, network=network.uuid, name="spare")
    add_host_name(actor, reservation=spare.uuid, name=WWW)
    delete_reservation(actor, spare.uuid)
    assert not HostName.objects.present().exists()
    assert not build_spec(Network.objects.get(pk=network.pk))["host_names"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("", "whole name"),
        ("web", "whole name"),
        ("*.org", "whole name"),
        ("a.*.example.org", "whole name"),
        ("198.51.100.1", "whole name"),
        ("a b.example.org", "whole name"),
        ("a.example.org\nserver x", "whole name"),
        ("-a.example.org", "whole name"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("exampl\u0435.org", "xn--exampl-8of.org"),
        ("a" * 64 + ".org", "whole name"),
    ],
)
def test_what_is_no_host_name_is_refused(name: str, remedy: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_name(name)
    assert refusal.value.field == "name"
    assert remedy in refusal.value.remedy


def test_another_project_gets_neither_the_name_nor_what_it_covers(
    actor: Actor, mallory: User, reservation: Reservation, hers: Reservation
) -> None:
    stranger = Actor(mallory)
    add_host_name(actor, reservation=reservation.uuid, name=WWW)
    add_host_name(actor, reservation=reservation.uuid, name="*.shop.example.org")
    for name in (WWW, "*.example.org", "a.shop.example.org", "*.shop.example.org"):
        with refused(Conflict, field="name", code="host_name_taken"):
            add_host_name(stranger, reservation=hers.uuid, name=name)
        with pytest.raises(Conflict, match=r"^The name \S+ is taken on 198.51.100.11.$"):
            add_host_name(stranger, reservation=hers.uuid, name=name)
    for free in ("example.org", "shop.example.org", "a.b.shop.example.org", "x.www.example.org"):
        add_host_name(stranger, reservation=hers.uuid, name=free)
    add_host_name(actor, reservation=reservation.uuid, name="a.shop.example.org")


@pytest.mark.parametrize(
    "name",
    ["panel.example.com", "*.example.com", "www.example.net", "*.example.net", "*.a.example.net"],
)
def test_names_of_the_panel_are_nobodys(
    actor: Actor, reservation: Reservation, settings: Any, name: str
) -> None:
    settings.KVMWEB_OWN_NAMES = ["Panel.example.com", ".example.net", "127.0.0.1", "*"]
    with refused(Conflict, field="name", code="host_name_taken"):
        add_host_name(actor, reservation=reservation.uuid, name=name)
    add_host_name(actor, reservation=reservation.uuid, name="shop.example.com")


def test_a_name_is_free_on_another_public_address(
    actor: Actor, mallory: User, host: Host, reservation: Reservation, hers: Reservation
) -> None:
    other = PublicAddress.objects.create(host=host, address="198.51.100.12")
    add_host_name(actor, reservation=reservation.uuid, name=WWW)
    made = add_host_name(Actor(mallory), reservation=hers.uuid, name=WWW, public_address=other.uuid)
    assert made.public_address == other
    with pytest.raises(IntegrityError):
        HostName.objects.filter(pk=made.pk).update(public_address=reservation_address())


def test_on_ipv6_it_leads_to_the_vms_ipv6_address_if_it_has_one(
    actor: Actor, alice: User, client: Client, host: Host, reservation: Reservation
) -> None:
    six = PublicAddress.objects.create(host=host, address="2001:db8::1")
    add_host_name(actor, reservation=reservation.uuid, name=WWW, public_address=six.uuid)
    assert specs(reservation)[0]["address"] == reservation.address
    set_ipv6(actor, reservation.network.uuid, ipv6="nat66", confirm=True)
    own = Reservation.objects.get(pk=reservation.pk).address6
    spec = specs(reservation)[0]
    assert (spec["public_address"], spec["address"]) == ("2001:db8::1", own)
    assert ":" in own
    client.force_login(alice)
    for page in (reverse("host-names"), reverse("vm", args=[reservation.nic.vm.uuid])):
        assert f"{own}:80" in client.get(page).content.decode()
    (shown,) = client.get(reverse("api:host-name-list")).json()["results"]
    assert (shown["public_ip"], shown["address"]) == ("2001:db8::1", own)
    target = {"reservation": reservation.uuid, "target_port": 80, "public_port": 443}
    with refused(Conflict, field="public_port", code="port_shared"):
        add_forward(actor, public_address=six.uuid, **target)  # type: ignore[arg-type]


def reservation_address() -> PublicAddress:
    return PublicAddress.objects.get(is_default=True)


def test_an_address_is_shared_by_names_or_led_to_one_guest_as_a_whole(
    actor: Actor, host: Host, reservation: Reservation
) -> None:
    other = PublicAddress.objects.create(host=host, address="198.51.100.12")
    where: dict[str, Any] = {"reservation": reservation.uuid, "public_address": other.uuid}
    made = add_host_name(actor, name=WWW, **where)
    with refused(Conflict, field="public_address", code="address_taken"):
        add_forward(actor, protocol="all", **where)
    delete_host_name(actor, made.uuid)
    finish(reservation)
    add_forward(actor, protocol="all", **where)
    with refused(Conflict, field="public_address", code="address_taken"):
        add_host_name(actor, name=WWW, **where)


@pytest.mark.parametrize("port", [80, 443])
def test_forwards_and_names_do_not_share_a_port(
    actor: Actor, reservation: Reservation, port: int
) -> None:
    target = {"reservation": reservation.uuid, "target_port": port, "public_port": port}
    add_forward(actor, protocol="udp", **target)  # type: ignore[arg-type]
    made = add_host_name(actor, reservation=reservation.uuid, name=WWW)
    with refused(Conflict, field="public_port", code="port_shared"):
        add_forward(actor, **target)  # type: ignore[arg-type]
    delete_host_name(actor, made.uuid)
    with refused(Conflict, field="public_port", code="port_shared"):
        add_forward(actor, **target)  # type: ignore[arg-type]
    finish(reservation)
    add_forward(actor, **target)  # type: ignore[arg-type]
    with refused(Conflict, field="public_address", code="port_taken"):
        add_host_name(actor, reservation=reservation.uuid, name=WWW)


def test_a_port_the_host_itself_uses_is_refused(
    actor: Actor, host: Host, reservation: Reservation
) -> None:
    host.facts = {**FACTS, "listeners": [{"protocol": "tcp", "address": "::", "port": 443}]}
    host.save()
    with refused(Conflict, field="public_address", code="port_in_use"):
        add_host_name(actor, reservation=reservation.uuid, name=WWW)


def test_bad_wishes_are_refused_by_field(
    actor: Actor, host: Host, reservation: Reservation
) -> None:
    for field, value in (("http_port", 0), ("tls_port", 65536), ("tls", "maybe")):
        with refused(Invalid, field=field):
            add_host_name(actor, reservation=reservation.uuid, name=WWW, **{field: value})  # type: ignore[arg-type]
    with refused(Invalid, field="http_port"):
        add_host_name(actor, reservation=reservation.uuid, name=WWW, http_port=None, tls="off")
    Network.objects.update(mode="isolated")
    with refused(Conflict, field="reservation", code="network_isolated"):
        add_host_name(actor, reservation=reservation.uuid, name=WWW)
    assert not HostName.objects.exists()


def test_only_members_who_may_write_take_names(
    bob: User, mallory: User, reservation: Reservation, host_name: HostName
) -> None:
    with pytest.raises(Forbidden):
        change_host_name(Actor(bob), host_name.uuid, note="x")
    with pytest.raises(NotFound):
        delete_host_name(Actor(mallory), host_name.uuid)
    with refused(Invalid, field="reservation"):
        add_host_name(Actor(mallory), reservation=reservation.uuid, name=WWW)


def test_what_names_carried_is_added_up(host: Host, host_name: HostName) -> None:
    for inward, outward, new in ((100, 1000, 2), (150, 1500, 3)):
        entry = [host_name.pk, 7, 0, inward, 7, 0, outward, 7, new, 0]
        usage.record(host, {"forwards": [], "networks": [], "host_names": [entry]})
    again = [host_name.pk, 8, 0, 5, 8, 0, 50, 8, 1, 0]
    usage.record(host, {"forwards": [], "networks": [], "host_names": [again]})
    row = HostNameUsage.objects.get(host_name=host_name)
    assert (row.bytes_in, row.bytes_out, row.connections) == (155, 1550, 4)
    assert row.last_used_at is not None


def test_pages_say_where_names_lead_in_as_many_queries_for_one_as_for_many(
    actor: Actor, alice: User, client: Client, reservation: Reservation, host_name: HostName
) -> None:
    client.force_login(alice)

    def queries(address: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert b"web-1.example.org" in client.get(address).content
        return len(captured)

    vm = reservation.nic.vm
    pages = [
        reverse("host-names"),
        reverse("network", args=[reservation.network.uuid]),
        reverse("vm", args=[vm.uuid]),
        reverse("vms"),
        reverse("api:host-name-list"),
        reverse("api:vm-list"),
    ]
    few = [queries(page) for page in pages]
    for number in range(5):
        add_host_name(actor, reservation=reservation.uuid, name=f"n{number}.example.org")
    assert [queries(page) for page in pages] == few


def test_who_had_a_name_is_kept_after_it_is_gone(
    actor: Actor, olga: User, client: Client, reservation: Reservation
) -> None:
    made = add_host_name(actor, reservation=reservation.uuid, name=WWW)
    change_host_name(actor, made.uuid, note="the same guest")
    spare = add_reservation(actor, network=reservation.network.uuid, name="spare")
    change_host_name(actor, made.uuid, reservation=spare.uuid, http_port=None)
    delete_host_name(actor, made.uuid)
    finish(reservation)
    rows = Holding.objects.filter(served_name=WWW).order_by("pk")
    assert [(row.guest_name, row.first_port, row.protocol) for row in rows] == [
        ("web-1", 80, "tcp"),
        ("web-1", 443, "tcp"),
        ("spare", 443, "tcp"),
    ]
    assert all(row.until for row in rows)
    assert not HostName.objects.exists()
    client.force_login(olga)
    for found, asked in ((3, WWW.upper()), (0, "other.example.org")):
        page = client.get(reverse("who-had-it"), {"name": asked}).content.decode()
        assert page.count(f'<div class="mono">{WWW}</div>') == found
        said = client.get(reverse("api:holding-list"), {"name": asked}).json()["results"]
        assert [row["served_name"] for row in said] == [WWW] * found
