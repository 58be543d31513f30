"""Networks that may have a subnet others have too: what they get, and what they are refused."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.enrol import enrol
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from networks import subnets
from networks.actions import ask_peering, change_network, create_network, set_ipv6
from networks.models import Network
from networks.spec_from_rows import build_spec
from tests.cast import finish_job
from tests.refusals import refused
from vms.models import Image

pytestmark = [pytest.mark.db, pytest.mark.django_db]

BLOCK = IPv4Network("100.64.0.0/16")


def own(actor: Actor, name: str, subnet: str = "10.60.0.0/24", **more: object) -> Network:
    made = create_network(
        actor,
        name=name,
        ipv4_subnet=subnet,
        own_router=True,
        **more,  # type: ignore[arg-type]
    )
    finish_job(made.job)
    made.refresh_from_db()
    return made


def test_two_projects_have_the_same_subnet_on_one_host(
    actor: Actor, mallory: User, network: Network
) -> None:
    """The first one without a router of its own: that one is the only one the host knows so."""
    first, second = own(actor, "one"), own(Actor(mallory), "two")
    assert network.ipv4_subnet == first.ipv4_subnet == second.ipv4_subnet == "10.60.0.0/24"
    assert (first.host, first.host) == (network.host, second.host)
    assert [made.own_router for made in (network, first, second)] == [False, True, True]
    spec = build_spec(second)
    assert (spec["subnet"], spec["transit"]) == ("10.60.0.0/24", "100.64.1.0/24")
    assert build_spec(network)["transit"] == ""


def test_what_the_host_knows_is_as_large_and_nobody_elses(actor: Actor, host: Host) -> None:
    made = [own(actor, f"n{at}", f"10.7.0.0/{prefix}") for at, prefix in enumerate((29, 20, 29))]
    known = [IPv4Network(each.transit_subnet) for each in made]
    assert [each.prefixlen for each in known] == [29, 20, 29]
    assert not any(a.overlaps(b) for a in known for b in known if a != b)
    host.facts = {"routes": ["100.64.0.0/12"], "addresses": []}
    host.save()
    assert own(actor, "next").transit_subnet == "100.80.0.0/24"


def test_an_ordinary_network_is_still_refused_what_another_has(
    actor: Actor, host: Host, network: Network
) -> None:
    other = own(actor, "other", "10.61.0.0/24")
    plain = create_network(actor, name="plain", ipv4_subnet=other.ipv4_subnet)
    assert not plain.own_router
    with refused(Conflict, "ipv4_subnet", code="subnet_overlaps"):
        create_network(actor, name="again", ipv4_subnet=network.ipv4_subnet)


def test_it_hides_no_public_address_and_not_what_its_host_knows_it_by(
    actor: Actor, host: Host
) -> None:
    PublicAddress.objects.create(host=host, address="10.62.0.9")
    host.transit_block = "10.64.0.0/16"
    host.save()
    for subnet in ("10.62.0.0/24", "10.64.3.0/24"):
        with refused(Conflict, "ipv4_subnet", code="subnet_overlaps"):
            create_network(actor, name="one", ipv4_subnet=subnet, own_router=True)


@pytest.mark.parametrize("address", ["10.61.0.9", "10.60.0.9", "100.64.0.9", "fd00::60:9"])
def test_a_public_address_added_later_hides_from_no_guest(
    actor: Actor, host: Host, network: Network, address: str
) -> None:
    """Neither in a subnet, behind whatever router, nor where the host knows such networks."""
    own(actor, "behind", "10.61.0.0/24")
    Network.objects.filter(pk=network.pk).update(ipv6="nat66", ipv6_subnet="fd00::/64")
    with pytest.raises(ValidationError) as caught:
        PublicAddress(host=host, address=address).full_clean()
    assert set(caught.value.message_dict) == {"address"}
    with refused(Invalid, "address"):
        enrol(host.name, address="10.61.0.9")
    PublicAddress(host=host, address="198.51.100.99").full_clean()


@pytest.mark.parametrize("block", ["10.61.0.0/16", "198.51.0.0/16"])
def test_another_block_hides_nothing_that_is_there(
    actor: Actor, host: Host, network: Network, block: str
) -> None:
    own(actor, "behind", "10.61.0.0/24")
    host.transit_block = block
    with pytest.raises(ValidationError) as caught:
        host.full_clean()
    assert set(caught.value.message_dict) == {"transit_block"}
    host.transit_block = "100.64.0.0/12"
    host.full_clean()


def test_a_taken_subnet_is_refused_with_what_helps(actor: Actor, network: Network) -> None:
    """None where it would not help."""
    for subnet, mode, fits in (
        (network.ipv4_subnet, "nat", True),
        (network.ipv4_subnet, "routed", False),
        ("198.51.100.8/29", "nat", False),
    ):
        with pytest.raises((Conflict, Invalid)) as caught:
            create_network(actor, name="again", ipv4_subnet=subnet, mode=mode)
        assert ("own_router" in caught.value.remedy) is fits


def test_a_vm_is_made_with_a_network_that_has_a_router_of_its_own(
    client: Client, alice: User, network: Network, image: Image
) -> None:
    client.force_login(alice)
    form = {
        "name": "web-2",
        "image": image.uuid,
        "vcpus": 1,
        "memory_mib": 512,
        "network": "new",
        "network_name": "same",
        "ipv4_subnet": network.ipv4_subnet,
        "forwards-TOTAL_FORMS": 0,
        "forwards-INITIAL_FORMS": 0,
    }
    refusal = client.post("/vms/new/", form)
    assert refusal.status_code == 409
    assert "own_router" in refusal.content.decode()
    assert client.post("/vms/new/", {**form, "own_router": "on"}).status_code == 302
    assert Network.objects.get(name="same").transit_subnet
    body = {
        "name": "web-3",
        "image": str(image.uuid),
        "network": {"name": "more", "ipv4_subnet": network.ipv4_subnet, "own_router": True},
    }
    made = client.post("/api/v1/vms/", body, content_type="application/json")
    assert made.status_code == 202, made.content
    assert Network.objects.get(name="more").transit_subnet == "100.64.1.0/24"


def test_a_block_that_is_full_is_said(actor: Actor, host: Host) -> None:
    host.transit_block = "100.64.0.0/16"
    host.save()
    own(actor, "large", "10.66.0.0/16")
    with refused(Conflict, "own_router", code="transit_full"):
        create_network(actor, name="more", own_router=True)


def test_what_it_cannot_be_is_refused_where_it_is_asked(
    actor: Actor, host: Host, network: Network
) -> None:
    with refused(Invalid, "own_router", code="own_router_not_routed"):
        create_network(actor, name="one", mode="routed", own_router=True)
    with refused(Conflict, "ipv6", code="own_router_without_ipv6"):
        create_network(actor, name="one", own_router=True, ipv6="nat66")
    made = own(actor, "one")
    with refused(Invalid, "mode", code="own_router_not_routed"):
        change_network(actor, made.uuid, mode="routed", confirm=True)
    with refused(Conflict, "ipv6", code="own_router_without_ipv6"):
        set_ipv6(actor, made.uuid, ipv6="nat66")
    with refused(Conflict, "network", code="own_router_without_peers"):
        ask_peering(actor, network=made.uuid, peer=network.uuid)
    with refused(Conflict, "peer", code="own_router_without_peers"):
        ask_peering(actor, network=network.uuid, peer=made.uuid)
    change_network(actor, made.uuid, mode="isolated", mtu=1400, guests_apart=True)
    assert set_ipv6(actor, made.uuid, ipv6="off").ipv6 == "off"


def test_it_is_chosen_in_the_form_and_shown_on_its_page(
    client: Client, alice: User, actor: Actor, network: Network
) -> None:
    client.force_login(alice)
    form = client.get(reverse("network-new")).content.decode()
    assert 'name="own_router"' in form
    sent = {"name": "two", "mode": "nat", "ipv4_subnet": "10.60.0.0/24", "own_router": "on"}
    answer = client.post(reverse("network-new"), sent, follow=True)
    page = answer.content.decode()
    assert "It has a router of its own" in page
    assert "100.64.0.0/24" in page
    made = Network.objects.get(name="two")
    assert (made.ipv4_subnet, made.transit_subnet) == ("10.60.0.0/24", "100.64.0.0/24")
    plain = client.get(reverse("network", args=[network.uuid])).content.decode()
    assert "router of its own" not in plain
    assert ("Add IPv6" in page, "Add IPv6" in plain) == (False, True)
    assert "Let another network reach it" not in page + plain


def test_rest_says_what_it_is_and_refuses_to_change_it(
    client: Client, alice: User, host: Host
) -> None:
    client.force_login(alice)
    body = {"name": "two", "ipv4_subnet": "10.60.0.0/24", "own_router": True}
    made = client.post("/api/v1/networks/", body, content_type="application/json")
    assert made.status_code == 202, made.content
    shown = made.json()
    assert (shown["own_router"], shown["transit_subnet"]) == (True, "100.64.0.0/24")
    where = f"/api/v1/networks/{shown['id']}/"
    change = client.patch(where, {"own_router": False}, content_type="application/json")
    assert change.status_code == 400
    assert "own_router" in change.content.decode()


@pytest.mark.parametrize("block", ["100.64.0.0/17", "fd00::/8", "", "127.0.0.0/8", "10.0.0.1/8"])
def test_a_block_is_a_subnet_with_room(host: Host, block: str) -> None:
    host.transit_block = block
    with pytest.raises(ValidationError) as caught:
        host.full_clean()
    assert set(caught.value.message_dict) == {"transit_block"}


@given(
    taken=st.lists(
        st.builds(
            lambda at, prefix: IPv4Network((int(BLOCK.network_address) + at, prefix), strict=False),
            st.integers(-2000, 70_000),
            st.integers(17, 29),
        ),
        max_size=40,
    ),
    prefix=st.integers(16, 29),
)
def test_the_first_free_part_of_a_block_is_found(taken: list[IPv4Network], prefix: int) -> None:
    found = subnets.free_part(BLOCK, prefix, [(each, "") for each in taken])
    every = BLOCK.subnets(new_prefix=prefix)
    free = (part for part in every if not any(part.overlaps(each) for each in taken))
    assert found == next(free, None)
