"""Whatever JSON is sent, the answer is a problem or an acceptance, never our own failure."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from networks.models import Reservation
from tests.kvmweb.api.conftest import Program
from tests.kvmweb.api.test_problems import GOOD
from vms.models import Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.sampled_from(["10.60.0.0/24", "10.0.0.0/33", "tcp", "00:00:00:00:00:00", "x" * 300, "\x00"]),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "target_port", "public_port", "ipv4_subnet", "mode"]), inside
        )
    ),
    max_leaves=6,
)
FIELDS = (
    "name",
    "mode",
    "ipv4_subnet",
    "project",
    "host",
    "network",
    "address",
    "mac",
    "vm",
    "reservation",
    "protocol",
    "public_port",
    "target_port",
    "public_address",
    "note",
    "image",
    "vcpus",
    "memory_mib",
    "disk_gib",
    "ssh_keys",
    "user_data",
    "forwards",
)


@pytest.mark.parametrize("place", ["networks", "reservations", "forwards", "vms", "projects"])
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_body_is_answered(
    alices: Program, vm: Vm, reservation: Reservation, place: str, data: st.DataObject
) -> None:
    words = {"@vm": str(vm.uuid), "@network": str(reservation.network.uuid)}
    good = {name: words.get(value, value) for name, value in GOOD[place].items()}
    fitting = [name for name in FIELDS if name in good or data.draw(st.booleans())]
    wrong = data.draw(st.dictionaries(st.sampled_from(fitting), ANYTHING, max_size=3))
    with transaction.atomic():
        answer = alices.post(f"{place}/", {**good, **wrong})
        transaction.set_rollback(True)
    assert answer.status_code in (201, 202, 400, 409), answer.data
    if answer.status_code >= 400:
        assert answer.data["message"]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_query_is_answered(alices: Program, vm: Vm, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(["networks", "reservations", "forwards", "vms", "jobs"]))
    names = st.sampled_from(
        ["search", "project", "network", "status", "limit", "offset", "cursor", "public_port"]
    )
    huge = st.sampled_from([10**30, -(10**30), "NaN", "1e400", "\x00"])
    values = st.one_of(st.text(max_size=20), st.integers(), huge, st.just(str(vm.uuid)))
    query: dict[str, Any] = data.draw(st.dictionaries(names, values, max_size=3))
    assert alices.get(f"{place}/", **query).status_code in (200, 400, 404)
