"""Public addresses are named by their ids or as they are written; who may not see hosts knows which
there are.
"""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from kvmweb.hosts.models import Host, PublicAddress
from networks.models import Reservation
from tests.kvmweb.api.conftest import Program

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_a_public_address_is_named_as_it_is_written(
    alice: User, host: Host, reservation: Reservation
) -> None:
    other = PublicAddress.objects.create(host=host, address="198.51.100.12")
    far = Host.objects.create(name="far", key="k" * 32)
    PublicAddress.objects.create(host=far, address="198.51.100.99")
    program = Program(alice)
    shown = program.get(f"networks/{reservation.network.uuid}/").data
    assert shown["public_addresses"] == ["198.51.100.11", other.address]
    wanted = {"reservation": str(reservation.uuid), "target_port": 80}
    for number, named in enumerate((other.address, str(other.uuid))):
        asked = wanted | {"public_port": 9000 + number, "public_address": named}
        made = program.post("forwards/", asked)
        assert made.data["public_endpoint"] == f"198.51.100.12:{9000 + number}"
    many = [wanted | {"public_address": named} for named in (other.address, str(other.uuid))]
    made = program.post("forwards/bulk/", {"forwards": many})
    assert {each["public_address"] for each in made.data["forwards"]} == {str(other.uuid)}
    name = {"reservation": str(reservation.uuid), "name": "www.example.org"}
    made = program.post("host-names/", name | {"public_address": other.address})
    assert made.data["public_ip"] == other.address
    for wrong in ("198.51.100.99", "198.51.100.77", "somewhere"):
        refused = program.post("forwards/", wanted | {"public_address": wrong})
        assert (refused.status_code, refused.data["field"]) == (400, "public_address")


def test_a_wrong_choice_is_answered_with_the_right_ones(
    alice: User, reservation: Reservation
) -> None:
    asked = {"reservation": str(reservation.uuid), "target_port": 53, "protocol": "both"}
    refused = Program(alice).post("forwards/", asked)
    assert refused.data["message"] == ("“both” is none of the choices: tcp, udp, tcp+udp, all.")
