"""Public ports: what is picked is free, below the ephemeral range, and nobody's."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmweb.core.errors import Conflict
from kvmweb.hosts.models import Host, PublicAddress
from networks import ports
from networks.models import Forward, PortClaim, Reservation

pytestmark = [pytest.mark.db, pytest.mark.django_db]

RANGE = st.integers(min_value=32760, max_value=32780)
PROTOCOLS = st.sampled_from([["tcp"], ["udp"], ["tcp", "udp"]])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    reserved=st.sets(RANGE),
    heard=st.sets(st.tuples(st.sampled_from(["tcp", "udp"]), RANGE)),
    claimed=st.sets(st.tuples(st.sampled_from(["tcp", "udp"]), RANGE)),
    first=st.integers(min_value=32760, max_value=32770),
    protocols=PROTOCOLS,
)
def test_what_is_picked_is_free(
    forward: Forward,
    reserved: set[int],
    heard: set[tuple[str, int]],
    claimed: set[tuple[str, int]],
    first: int,
    protocols: list[str],
) -> None:
    public = forward.public_address
    public.first_port, public.last_port = first, 32780
    public.host.reserved_ports = sorted(reserved)
    public.host.facts = {
        "listeners": [
            {"protocol": protocol, "address": "0.0.0.0", "port": port}  # noqa: S104
            for protocol, port in heard
        ]
    }
    PortClaim.objects.all().delete()
    PortClaim.objects.bulk_create(
        PortClaim(public_address=public, protocol=protocol, port=port, forward=forward)
        for protocol, port in claimed
    )
    usable = [
        port
        for port in range(first, 32768)
        if port not in reserved
        and not any((protocol, port) in heard | claimed for protocol in protocols)
    ]
    if usable:
        assert ports.pick(public, protocols) == usable[0]
    else:
        with pytest.raises(Conflict):
            ports.pick(public, protocols)


def test_a_claim_of_half_a_pair_leaves_nothing_behind(
    public_address: PublicAddress, reservation: Reservation
) -> None:
    fields = {
        "network": reservation.network,
        "reservation": reservation,
        "public_address": public_address,
        "public_port": 5353,
        "target_port": 53,
    }
    ports.claim(Forward.objects.create(protocol="udp", **fields))
    with pytest.raises(Conflict) as caught:
        ports.claim(Forward.objects.create(protocol="tcp+udp", **fields))
    assert (caught.value.field, caught.value.code) == ("public_port", "port_taken")
    assert PortClaim.objects.filter(port=5353).count() == 1


def test_ssh_and_the_panel_are_always_reserved(host: Host) -> None:
    assert {22, 8000} <= ports.reserved_ports(host)
