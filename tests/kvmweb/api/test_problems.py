"""Whatever goes wrong is answered in one shape, naming the field, and writes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from networks.models import Forward, Network, Reservation
from tests.kvmweb.api.conftest import Program
from tests.refusals import rows
from vms.models import Image, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]

SHAPE = {"code", "message", "field", "remedy"}

ABSENT = object()
# A good body for each list; what is wrong in a case is laid over it. @vm stands for its UUID.
GOOD: dict[str, dict[str, Any]] = {
    "networks": {"name": "n"},
    "reservations": {"name": "r", "network": "@network"},
    "forwards": {"vm": "@vm", "target_port": 80},
    "vms": {"name": "v", "network": "@network", "image": "tiny"},
    "projects": {"name": "Shop"},
    "vms/@vm/start": {},
}
NOBODY = "00000000-0000-0000-0000-000000000000"
BOTH = {"target_port": 80, "public_port": 22}
# List, what is wrong, status, field, code.
BAD: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("networks", {"name": ABSENT}, 400, "name", "required"),
    ("networks", {"mode": "wireless"}, 400, "mode", "invalid_choice"),
    ("networks", {"name": "x" * 300}, 400, "name", "invalid_name"),
    ("networks", {"name": "<b>"}, 400, "name", "invalid_name"),
    ("networks", {"name": "a\x00b"}, 400, "name", "null_characters_not_allowed"),
    ("networks", {"name": ["n"]}, 400, "name", "invalid"),
    ("networks", {"colour": "red"}, 400, "colour", "unknown_field"),
    ("networks", {"state": "active"}, 400, "state", "unknown_field"),
    ("networks", {"ipv4_subnet": "10.60.0.7/24"}, 400, "ipv4_subnet", "invalid_subnet"),
    ("networks", {"ipv4_subnet": "8.8.8.0/24"}, 400, "ipv4_subnet", "invalid_subnet"),
    ("networks", {"ipv4_subnet": "10.60.0.0/30"}, 400, "ipv4_subnet", "invalid_subnet"),
    ("networks", {"ipv4_subnet": "10.60.0.0/25"}, 409, "ipv4_subnet", "subnet_overlaps"),
    ("networks", {"ipv4_subnet": ["10.0.0.0/24"]}, 400, "ipv4_subnet", "invalid"),
    ("networks", {"project": "x"}, 400, "project", "invalid"),
    ("networks", {"project": NOBODY}, 400, "project", "no_such_project"),
    ("networks", {"host": NOBODY}, 400, "host", "invalid"),
    ("reservations", {"address": "10.60.0.1"}, 400, "address", "invalid"),
    ("reservations", {"mac": "zz"}, 400, "mac", "invalid"),
    ("reservations", {"network": "@vm"}, 400, "network", "no_such_network"),
    ("forwards", {"vm": ABSENT}, 400, "vm", "invalid"),
    ("forwards", {"reservation": "@reservation"}, 400, "vm", "invalid"),
    ("forwards", {"vm": "@network"}, 400, "vm", "no_such_vm"),
    ("forwards", {"vm": None, "reservation": NOBODY}, 400, "reservation", "no_such_reservation"),
    ("forwards", {"target_port": 0}, 400, "target_port", "min_value"),
    ("forwards", {"target_port": 10**30}, 400, "target_port", "max_value"),
    ("forwards", {"target_port": "http"}, 400, "target_port", "invalid"),
    ("forwards", {"public_port": 20022}, 409, "public_port", "port_taken"),
    ("forwards", {"public_port": 5432}, 409, "public_port", "port_in_use"),
    ("forwards", {"public_port": 22}, 409, "public_port", "port_reserved"),
    ("forwards", {"public_port": 8000}, 409, "public_port", "port_reserved"),
    ("forwards", {"protocol": "icmp"}, 400, "protocol", "invalid_choice"),
    ("forwards", {"note": "x" * 300}, 400, "note", "max_length"),
    ("forwards", {"public_address": NOBODY}, 400, "public_address", "invalid"),
    ("vms", {"image": "nope"}, 400, "image", "no_such_image"),
    ("vms", {"network": "x"}, 400, "network", "invalid"),
    ("vms", {"network": []}, 400, "network", "invalid"),
    ("vms", {"network": {}}, 400, "network.name", "required"),
    ("vms", {"network": {"name": "n", "vlan": 1}}, 400, "network.vlan", "unknown_field"),
    ("vms", {"network": {"name": "N"}}, 400, "network.name", "invalid_name"),
    ("vms", {"memory_mib": 10**6}, 400, "memory_mib", "more_than_the_host_has"),
    ("vms", {"memory_mib": 10**40}, 400, "memory_mib", "max_value"),
    ("vms", {"vcpus": 0}, 400, "vcpus", "min_value"),
    ("vms", {"forwards": [{}]}, 400, "forwards.0.target_port", "invalid"),
    ("vms", {"forwards": BOTH}, 400, "forwards", "not_a_list"),
    ("vms", {"forwards": [BOTH]}, 409, "forwards.0.public_port", "port_reserved"),
    ("vms", {"ssh_keys": ["x"]}, 400, "ssh_keys", "invalid_ssh_key"),
    ("vms", {"ssh_keys": "x"}, 400, "ssh_keys", "not_a_list"),
    ("vms", {"user_data": "hi"}, 400, "user_data", "invalid"),
    ("projects", {"name": "<script>"}, 400, "name", "invalid_name"),
    ("projects", {"name": "x" * 64}, 400, "name", "max_length"),
    ("vms/@vm/start", {"now": True}, 400, "now", "unknown_field"),
]


@pytest.fixture
def uuids(network: Network, vm: Vm, reservation: Reservation, forward: Forward) -> dict[str, str]:
    return {
        "@network": str(network.uuid),
        "@vm": str(vm.uuid),
        "@reservation": str(reservation.uuid),
        "@forward": str(forward.uuid),
    }


@pytest.mark.parametrize(("place", "wrong", "status", "field", "code"), BAD)
def test_bad_input_names_its_field_and_writes_nothing(
    alices: Program,
    uuids: dict[str, str],
    place: str,
    wrong: dict[str, Any],
    status: int,
    field: str,
    code: str,
) -> None:
    body = {
        name: uuids.get(value, value) if isinstance(value, str) else value
        for name, value in {**GOOD[place], **wrong}.items()
        if value is not ABSENT
    }
    alices.get("projects/")
    before = rows()
    answer = alices.post(place.replace("@vm", uuids["@vm"]) + "/", body)
    assert (answer.status_code, answer.data["field"], answer.data["code"]) == (status, field, code)
    assert set(answer.data) >= SHAPE
    assert answer.data["message"]
    assert rows() == before


@pytest.mark.parametrize("place", GOOD)
def test_what_the_cases_are_laid_over_is_good(
    alices: Program, uuids: dict[str, str], place: str
) -> None:
    body = {name: uuids.get(value, value) for name, value in GOOD[place].items()}
    answer = alices.post(place.replace("@vm", uuids["@vm"]) + "/", body)
    assert answer.status_code in (201, 202), answer.data


def test_a_body_that_is_no_object_is_refused(alices: Program) -> None:
    bodies: list[Any] = [[], "x", 7, None]
    for body in bodies:
        assert alices.post("networks/", body).status_code == 400


def test_several_wrong_fields_are_all_named(alices: Program, uuids: dict[str, str]) -> None:
    answer = alices.post("forwards/", {"vm": "x", "target_port": 0, "colour": 1, "size": 2})
    assert [(error["field"], error["code"]) for error in answer.data["errors"]] == [
        ("colour", "unknown_field"),
        ("size", "unknown_field"),
    ]
    answer = alices.post("forwards/", {"vm": "x", "target_port": 0})
    assert [error["field"] for error in answer.data["errors"]] == ["vm", "target_port"]


@pytest.mark.parametrize("kind", ["networks", "forwards", "vms"])
def test_a_patch_of_nothing_is_refused(alices: Program, uuids: dict[str, str], kind: str) -> None:
    path = f"{kind}/{uuids['@' + kind.removesuffix('s')]}/"
    assert alices.patch(path, {}).status_code == 400
    assert alices.patch(path, {"state": "active"}).data["code"] == "unknown_field"


def test_what_is_not_offered_is_405_with_what_is(alices: Program, uuids: dict[str, str]) -> None:
    answer = alices.ask("put", f"vms/{uuids['@vm']}/", {})
    assert (answer.status_code, answer.data["code"]) == (405, "method_not_allowed")
    assert "PATCH" in answer.headers["Allow"]
    assert alices.post("jobs/", {}).status_code == 405


@pytest.mark.parametrize("path", ["nothing/", "vms/7/", "vms/x/start/", "jobs"])
def test_other_addresses_are_404_in_the_same_shape(alices: Program, path: str) -> None:
    for method in ("get", "post", "delete"):
        answer = alices.ask(method, path)
        assert (answer.status_code, set(answer.data)) == (404, SHAPE)


def test_no_token_a_wrong_one_and_one_in_the_wrong_place_are_401(alice: User) -> None:
    client = APIClient(raise_request_exception=False)
    for header in ("", "Bearer", "Bearer kvmw_wrong", "Token abc", "Bearer " + "é" * 9):
        answer = client.get("/api/v1/vms/", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert (set(answer.data), answer.data["remedy"] != "") == (SHAPE, True)


def test_a_signed_in_browser_needs_its_csrf_token_to_write(alice: User, network: Network) -> None:
    client = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(alice)
    assert client.get("/api/v1/vms/").status_code == 200
    answer = client.post("/api/v1/projects/", {"name": "x"}, format="json")
    assert (answer.status_code, set(answer.data)) == (403, SHAPE)


def test_what_is_not_json_is_refused(alices: Program) -> None:
    answer = alices.client.post("/api/v1/vms/", "name=x", content_type="text/plain")
    assert (answer.status_code, answer.data["code"]) == (415, "unsupported_media_type")
    answer = alices.client.post("/api/v1/vms/", "{", content_type="application/json")
    assert (answer.status_code, answer.data["code"]) == (400, "parse_error")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"name": "n", "mode": "\\ud800"}', 400, "invalid_choice"),
        ('{"name": "n", "\\ud800": 1}', 400, "unknown_field"),
        ("[" * 100_000, 400, "parse_error"),
        ('{"name": "' + "n" * (3 << 20) + '"}', 413, "too_large"),
    ],
    ids=["half a character", "in a name", "deep", "large"],
)
def test_json_that_is_hard_to_take_is_refused(
    alices: Program, body: str, status: int, code: str
) -> None:
    answer = alices.client.post("/api/v1/networks/", body, content_type="application/json")
    assert (answer.status_code, answer.data["code"]) == (status, code)
    answer.content.decode()


def test_too_many_requests_say_when_to_come_back(alices: Program, settings: Any) -> None:
    settings.KVMWEB_API_RATE = "2/min"
    statuses = [alices.get("vms/").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    answer = alices.get("vms/")
    assert (answer.data["code"], int(answer.headers["Retry-After"]) > 0) == ("throttled", True)


def test_a_filter_that_is_no_uuid_is_refused(alices: Program, image: Image) -> None:
    answer = alices.get("vms/", project="x")
    assert (answer.status_code, answer.data["field"]) == (400, "project")


def test_our_own_fault_is_500_without_a_traceback(
    alices: Program, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    Network.objects.update(ipv4_subnet="10.60.0.0/99")
    answer = alices.get(f"networks/{network.uuid}/")
    assert (answer.status_code, set(answer.data)) == (500, SHAPE)
    assert "99" not in str(answer.data)
    assert "NetmaskValueError" in caplog.text
