"""What an action refuses is shown under the field it is about, and nothing typed is lost."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.hosts.models import Host, PublicAddress
from networks.models import Forward, Network, Reservation
from vms.models import Image, Vm

pytestmark = pytest.mark.db


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def new_vm(chosen: Image, **changes: Any) -> dict[str, Any]:
    """A New VM form as a browser sends it."""
    sent = {
        "name": "mail",
        "image": str(chosen.uuid),
        "vcpus": "1",
        "memory_mib": "512",
        "disk_gib": "",
        "network": "new",
        "network_name": "post",
        "ipv4_subnet": "10.77.0.0/24",
        "ssh_keys": "",
        "user_data": "",
        "forwards-TOTAL_FORMS": "2",
        "forwards-INITIAL_FORMS": "0",
        "forwards-0-target_port": "22",
        "forwards-0-protocol": "tcp",
        "forwards-0-public_port": "",
        "forwards-1-enabled": "on",
        "forwards-1-target_port": "80",
        "forwards-1-protocol": "tcp",
        "forwards-1-public_port": "20080",
    }
    return sent | changes


def test_one_form_makes_a_vm_with_its_network_and_forward(
    browser: Client, image: Image, public_address: object
) -> None:
    answer = browser.post("/vms/new/", new_vm(image))
    made = Vm.objects.get(name="mail")
    assert answer["Location"] == reverse("vm", args=[made.uuid])
    assert Network.objects.get().ipv4_subnet == "10.77.0.0/24"
    assert str(Forward.objects.get()) == "198.51.100.11:20080 → mail:80"


@pytest.mark.parametrize(
    ("changes", "status", "field", "words"),
    [
        ({"name": "<b>no</b>"}, 400, "name", "1 to 63"),
        ({"name": "x" * 300}, 400, "name", "1 to 63"),
        ({"image": "00000000-0000-0000-0000-000000000000"}, 400, "image", "valid choice"),
        ({"memory_mib": "999999"}, 400, "memory_mib", "16384 MiB"),
        ({"vcpus": "64"}, 400, "vcpus", "1 to 8"),
        ({"network_name": ""}, 400, "network_name", "needs a name"),
        ({"ipv4_subnet": "10.77.0.5/24"}, 400, "ipv4_subnet", "Did you mean 10.77.0.0/24?"),
        ({"ipv4_subnet": "8.8.8.0/24"}, 400, "ipv4_subnet", "not private"),
        ({"ipv4_subnet": "192.168.122.128/25"}, 409, "ipv4_subnet", "route"),
        ({"ssh_keys": "hello"}, 400, "ssh_keys", "not an SSH public key"),
        ({"user_data": "echo hi"}, 400, "user_data", "#!/bin/sh"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    changes: dict[str, str],
    status: int,
    field: str,
    words: str,
    browser: Client,
    image: Image,
    public_address: object,
) -> None:
    answer = browser.post("/vms/new/", new_vm(image, **changes))
    assert answer.status_code == status
    assert words in str(answer.context["form"].errors[field])
    assert not Vm.objects.exists()
    assert not Network.objects.exists()
    assert "20080" in answer.content.decode()


@pytest.mark.parametrize(
    ("port", "status", "words"),
    [
        ("22", 409, "reserved"),
        ("5432", 409, "program of the host"),
        ("70000", 400, "65535"),
        ("20022", 409, "taken"),
    ],
)
def test_a_port_that_cannot_be_had_is_named_in_its_row(
    port: str, status: int, words: str, browser: Client, image: Image, vm: Vm
) -> None:
    answer = browser.post("/vms/new/", new_vm(image, **{"forwards-1-public_port": port}))
    assert answer.status_code == status
    row = answer.context["form"].rows.forms[1]
    assert words in str(row.errors["public_port"])
    assert not Vm.objects.filter(name="mail").exists()
    assert f'value="{port}"' in answer.content.decode()


def test_a_ticked_row_needs_a_port(browser: Client, image: Image, public_address: object) -> None:
    answer = browser.post("/vms/new/", new_vm(image, **{"forwards-1-target_port": ""}))
    assert answer.status_code == 400
    assert "Which port" in answer.content.decode()


def test_what_was_proposed_is_made_as_it_stands(
    browser: Client, image: Image, public_address: object
) -> None:
    browser.post("/vms/new/", new_vm(image, **{"forwards-0-enabled": "on"}))
    made = [str(forward) for forward in Forward.objects.order_by("public_port")]
    assert made == ["198.51.100.11:20000 → mail:22", "198.51.100.11:20080 → mail:80"]


def test_a_vm_joins_a_network_that_is_there(
    browser: Client, image: Image, network: Network
) -> None:
    sent = new_vm(image, network=str(network.uuid), network_name="", ipv4_subnet="")
    assert browser.post("/vms/new/", sent).status_code == 302
    assert Vm.objects.get(name="mail").address == "10.60.0.2"


def test_a_network_that_overlaps_is_refused_at_its_field(browser: Client, network: Network) -> None:
    sent = {"name": "other", "mode": "nat", "ipv4_subnet": "10.60.0.128/25"}
    answer = browser.post("/networks/new/", sent)
    assert answer.status_code == 409
    assert "home" in str(answer.context["form"].errors["ipv4_subnet"])
    assert "10.60.0.128/25" in answer.content.decode()


def test_a_network_proposes_a_free_subnet(browser: Client, network: Network) -> None:
    assert browser.get("/networks/new/").context["form"]["ipv4_subnet"].value() == "10.60.1.0/24"


def test_a_forward_in_the_hosts_own_range_is_made_with_a_warning(
    browser: Client, reservation: Reservation
) -> None:
    sent = {
        "reservation": str(reservation.uuid),
        "target_port": "80",
        "protocol": "tcp",
        "public_port": "40000",
    }
    answer = browser.post("/forwards/new/", sent, follow=True)
    assert Forward.objects.filter(public_port=40000).exists()
    assert "40000 lies in the range" in answer.content.decode()


def test_a_forward_of_a_taken_port_keeps_what_was_typed(
    browser: Client, reservation: Reservation
) -> None:
    sent = {
        "reservation": str(reservation.uuid),
        "target_port": "8080",
        "protocol": "tcp",
        "public_port": "20022",
        "note": "for tests",
    }
    answer = browser.post("/forwards/new/", sent)
    assert answer.status_code == 409
    assert "taken" in str(answer.context["form"].errors["public_port"])
    for typed in ("8080", "20022", "for tests"):
        assert typed in answer.content.decode()


def test_a_vm_goes_only_when_its_name_is_typed(browser: Client, vm: Vm) -> None:
    address = reverse("vm-delete", args=[vm.uuid])
    page = browser.get(address).content.decode()
    assert "1 disk (1 GiB)" in page
    assert "1 forward" in page
    assert browser.post(address, {"name": "web-2"}).status_code == 400
    vm.refresh_from_db()
    assert vm.goes_at is None
    assert browser.post(address, {"name": "web-1"}).status_code == 302
    vm.refresh_from_db()
    assert vm.goes_at is not None


def test_a_network_in_use_says_why_it_stays(browser: Client, vm: Vm, network: Network) -> None:
    answer = browser.post(reverse("network-delete", args=[network.uuid]))
    assert answer.status_code == 409
    assert "still use network" in answer.content.decode()
    assert "Delete those VMs first." in answer.content.decode()


def test_a_refusal_asked_for_by_script_is_a_note_on_the_page(browser: Client, vm: Vm) -> None:
    address = reverse("vm-power", args=[vm.uuid])
    answer = browser.post(address, {"power": "explode"}, headers={"HX-Request": "true"})
    assert answer.status_code == 400
    assert answer["HX-Retarget"] == "#toasts"
    assert "Use one of start, stop, force" in answer.content.decode()


def test_a_new_size_waits_for_the_next_start(browser: Client, vm: Vm) -> None:
    address = reverse("vm-settings", args=[vm.uuid])
    assert "takes effect at its next start" in browser.get(address).content.decode()
    answer = browser.post(address, {"name": "web-1", "vcpus": "2", "memory_mib": "99999999"})
    assert answer.status_code == 400
    assert "16384 MiB" in str(answer.context["form"].errors["memory_mib"])
    assert (
        browser.post(address, {"name": "web-1", "vcpus": "2", "memory_mib": "1024"}).status_code
        == 302
    )
    vm.refresh_from_db()
    assert (vm.vcpus, vm.memory_mib) == (2, 1024)


def test_a_door_without_a_key_says_that_nobody_can_log_in(browser: Client, vm: Vm) -> None:
    said = "nobody can log in by SSH"
    assert said in browser.get(f"/vms/{vm.uuid}/").content.decode()
    vm.ssh_keys = ["ssh-ed25519 AAAA alice"]
    vm.save()
    assert said not in browser.get(f"/vms/{vm.uuid}/").content.decode()


def test_a_udp_door_says_so_in_the_list(browser: Client, vm: Vm) -> None:
    reservation = Reservation.objects.get()
    browser.post(
        "/forwards/new/",
        {"reservation": str(reservation.uuid), "target_port": "7", "protocol": "udp"},
    )
    assert "198.51.100.11:20000 UDP" in browser.get("/vms/").content.decode()


def test_a_vm_that_is_being_started_offers_no_second_start(browser: Client, vm: Vm) -> None:
    button = 'value="start"'
    Vm.objects.update(power_state="off", power=Vm.Power.OFF)
    assert button in browser.get(f"/vms/{vm.uuid}/").content.decode()
    browser.post(f"/vms/{vm.uuid}/power/", {"power": "start"})
    assert button not in browser.get(f"/vms/{vm.uuid}/").content.decode()


@pytest.fixture
def second_address(host: Host) -> PublicAddress:
    return PublicAddress.objects.create(host=host, address="198.51.100.12")


def test_one_address_is_no_choice(browser: Client, vm: Vm) -> None:
    for page in ("/forwards/new/", f"/vms/{vm.uuid}/"):
        assert 'name="public_address"' not in browser.get(page).content.decode()


def test_a_forward_listens_on_the_address_that_was_chosen(
    browser: Client, vm: Vm, second_address: PublicAddress
) -> None:
    for page in ("/forwards/new/", f"/vms/{vm.uuid}/"):
        assert 'name="public_address"' in browser.get(page).content.decode()
    sent = {
        "reservation": str(Reservation.objects.get().uuid),
        "target_port": "80",
        "protocol": "tcp",
        "public_address": str(second_address.uuid),
    }
    browser.post("/forwards/new/", sent)
    assert Forward.objects.filter(public_address=second_address, target_port=80).exists()


def test_the_doors_of_a_new_vm_listen_on_the_address_that_was_chosen(
    browser: Client, image: Image, public_address: object, second_address: PublicAddress
) -> None:
    assert 'name="public_address"' in browser.get("/vms/new/").content.decode()
    browser.post("/vms/new/", new_vm(image, public_address=str(second_address.uuid)))
    assert str(Forward.objects.get()) == "198.51.100.12:20080 → mail:80"


def test_an_address_of_nobody_is_refused_at_its_field(
    browser: Client, image: Image, public_address: object, second_address: PublicAddress
) -> None:
    stranger = "00000000-0000-4000-8000-000000000000"
    answer = browser.post("/vms/new/", new_vm(image, public_address=stranger))
    assert answer.status_code == 400
    assert answer.context["form"].errors["public_address"]
    assert not Vm.objects.exists()
