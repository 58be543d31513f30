"""What hosts have counted is added up, whatever begins anew there, and shown to whose it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.envelope import seal
from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from networks import usage
from networks.actions import add_forward
from networks.models import Forward, ForwardUsage, Network, NetworkUsage, Reservation
from networks.tasks import used
from tests.kvmweb.api.conftest import Program

pytestmark = pytest.mark.db


def entry(
    key: int | str, inward: list[int], outward: list[int] | None = None, new: int = 0
) -> list[Any]:
    return [key, *inward, *(outward or [inward[0], 0, 0]), inward[0], new, 0]


def said(host: Host, *forwards: list[Any], networks: tuple[list[Any], ...] = ()) -> None:
    usage.record(host, {"forwards": list(forwards), "networks": list(networks)})


def total(forward: Forward) -> tuple[int, int, int]:
    row = ForwardUsage.objects.get(forward=forward)
    return row.packets_in, row.bytes_in, row.connections


def test_differences_are_added_and_what_begins_anew_counts_whole(
    host: Host, forward: Forward
) -> None:
    number = forward.number
    said(host, entry(number, [7, 10, 1000], new=2))
    assert total(forward) == (10, 1000, 2)
    for _ in range(2):  # one that comes twice counts once
        said(host, entry(number, [7, 15, 1500], new=3))
    assert total(forward) == (15, 1500, 3)
    said(host, entry(number, [8, 20, 2000], new=1))  # made anew, and already further
    assert total(forward) == (35, 3500, 4)
    said(host, entry(number, [8, 5, 500], new=1))  # fewer than before: made anew all the same
    assert total(forward) == (40, 4000, 4)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["count", "begin anew"]),
            st.integers(0, 9),
            st.booleans(),
            st.booleans(),
        ),
        max_size=30,
    )
)
@pytest.mark.pure
def test_nothing_is_lost_that_was_told_before_it_began_anew(
    history: list[tuple[str, int, bool, bool]],
) -> None:
    row, now, counted, stamp = ForwardUsage(), 0, 0, 1
    at = timezone.now()
    for what, packets, told, twice in history:
        if what == "begin anew":
            usage.advance(row, tuple(entry(1, [stamp, now, now])), at)
            now, stamp = 0, stamp + 1
        now, counted = now + packets, counted + packets
        for _ in range(told + (told and twice)):
            usage.advance(row, tuple(entry(1, [stamp, now, now])), at)
    usage.advance(row, tuple(entry(1, [stamp, now, now])), at)
    assert (row.packets_in, row.bytes_in) == (counted, counted)


def test_a_forward_is_last_used_when_something_moved(host: Host, forward: Forward) -> None:
    said(host, entry(forward.number, [1, 0, 0]))
    assert ForwardUsage.objects.get().last_used_at is None
    said(host, entry(forward.number, [1, 1, 60], new=1))
    first = ForwardUsage.objects.get().last_used_at
    assert first is not None
    said(host, entry(forward.number, [1, 1, 60], new=1))
    assert ForwardUsage.objects.get().last_used_at == first


def test_a_host_counts_for_its_own_things_alone(forward: Forward, network: Network) -> None:
    thief = Host.objects.create(name="h2")
    said(
        thief,
        entry(forward.number, [1, 5, 500]),
        networks=(entry(network.bridge, [1, 5, 500]),),
    )
    assert not ForwardUsage.objects.exists()
    assert not NetworkUsage.objects.exists()


def test_a_network_has_its_bridge_counted(host: Host, network: Network) -> None:
    said(host, networks=(entry(network.bridge, [9, 5, 500], [9, 3, 300]),))
    row = NetworkUsage.objects.get(network=network)
    assert (row.packets_in, row.bytes_in, row.packets_out, row.bytes_out) == (5, 500, 3, 300)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"forwards": [[1, 2]], "networks": []},
        {"forwards": [entry(1, [1, -1, 0])], "networks": []},
        {"forwards": [entry(1 << 64, [1, 1, 0])], "networks": []},
    ],
)
def test_impossible_counts_are_refused(host: Host, payload: Any) -> None:
    with pytest.raises(Invalid, match="cannot be true"):
        usage.record(host, payload)
    used(dict(seal(host.name, host.key, payload)))  # and the control worker goes on


def test_numbers_too_large_for_the_database_stop_at_its_largest(
    host: Host, forward: Forward
) -> None:
    for stamp in (1, 2):
        said(host, entry(forward.number, [stamp, (1 << 63) - 1, 5]))
    assert total(forward) == ((1 << 63) - 1, 10, 0)


def test_many_forwards_are_written_in_a_few_queries(
    host: Host, actor: Actor, reservation: Reservation, network: Network
) -> None:
    def queries(count: int, stamp: int) -> int:
        rows = list(Forward.objects.all()[:count])
        with CaptureQueriesContext(connection) as captured:
            said(host, *(entry(row.number, [stamp, 1, 1]) for row in rows))
        return len(captured)

    for port in range(20):
        add_forward(actor, reservation=reservation.uuid, target_port=port + 1)
    assert queries(2, 1) == queries(20, 2)


def test_a_message_of_the_host_is_recorded(host: Host, forward: Forward) -> None:
    payload = {"forwards": [entry(forward.number, [1, 4, 400])], "networks": []}
    used(dict(seal(host.name, host.key, payload)))
    assert total(forward) == (4, 400, 0)
    used(dict(seal(host.name, "not its key", payload)))
    assert total(forward) == (4, 400, 0)


@pytest.fixture
def idle(forward: Forward) -> Forward:
    Forward.objects.filter(pk=forward.pk).update(created_at=timezone.now() - timedelta(days=40))
    return forward


def test_forwards_nobody_uses_are_found(
    idle: Forward, alice: User, client: Client, host: Host
) -> None:
    def found(days: int) -> tuple[int, int]:
        client.force_login(alice)
        page = client.get(reverse("forwards"), {"use": str(days)})
        answer = Program(alice).get("forwards/", unused_days=days)
        return len(page.context["list"].page), len(answer.data["results"])

    assert found(30) == (1, 1)
    assert found(90) == (0, 0)  # it is younger
    said(host, entry(idle.number, [1, 1, 60], new=1))
    assert found(30) == (0, 0)
    ForwardUsage.objects.update(last_used_at=timezone.now() - timedelta(days=31))
    assert found(30) == (1, 1)


def test_usage_is_shown_where_the_object_is(
    host: Host, forward: Forward, network: Network, alice: User, client: Client
) -> None:
    client.force_login(alice)
    page = reverse("forward", args=[forward.uuid])
    assert "Not used yet" in client.get(page).content.decode()
    said(
        host,
        entry(forward.number, [1, 9, 4096], [1, 7, 2048], new=1234),
        networks=(entry(network.bridge, [1, 9, 4096], [1, 7, 2048]),),
    )
    for address in (page, reverse("forwards"), reverse("network", args=[network.uuid])):
        text = client.get(address).content.decode()
        assert "1,234 connections" in text
    assert "received 4.0 KiB and sent 2.0 KiB" in text
    shown = Program(alice).get(f"forwards/{forward.uuid}/").data["usage"]
    assert shown.pop("last_used_at")
    assert shown == {
        "packets_in": 9,
        "bytes_in": 4096,
        "packets_out": 7,
        "bytes_out": 2048,
        "connections": 1234,
    }
    assert Program(alice).get(f"networks/{network.uuid}/").data["usage"]["bytes_in"] == 4096
