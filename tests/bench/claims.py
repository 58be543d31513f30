"""`python -m tests.bench.claims N`: N public ports held, on addresses of their own and before the
first free ones of every other, as rows alone."""

from __future__ import annotations

import sys

import django
from django.db import transaction

django.setup()

from kvmweb.hosts.facts import ephemeral_ports  # noqa: E402
from kvmweb.hosts.models import Host, PublicAddress  # noqa: E402
from kvmweb.projects.models import Project  # noqa: E402
from networks.models import Forward, Network, PortClaim, Reservation  # noqa: E402

PER_ADDRESS = 62_500
LEFT_FREE = 50


@transaction.atomic
def fill(count: int) -> None:
    """Nothing is sent anywhere: the network that holds them is settled."""
    host = Host.objects.usable().order_by("pk")[0]
    network = Network.objects.create(
        project=Project.objects.create(name="crowd"),
        host=host,
        name="crowd",
        ipv4_subnet="10.201.0.0/24",
        generation=1,
        applied_generation=1,
    )
    guest = Reservation.objects.create(
        network=network, name="crowd", mac="52:54:02:00:00:02", address="10.201.0.2"
    )
    for public in PublicAddress.objects.filter(host=host):
        taken = set(PortClaim.objects.filter(public_address=public).values_list("port", flat=True))
        end = min(public.last_port + 1, ephemeral_ports(host)[0]) - LEFT_FREE
        wanted = [port for port in range(public.first_port, end) if port not in taken]
        count -= _claim(guest, public, wanted)
    number = 0
    while count > 0:
        public = PublicAddress.objects.create(
            host=host, address=f"198.18.{number >> 8}.{number & 255}"
        )
        count -= _claim(guest, public, list(range(1, min(count, PER_ADDRESS) + 1)))
        number += 1


def _claim(guest: Reservation, public: PublicAddress, wanted: list[int]) -> int:
    forward = Forward.objects.create(
        network=guest.network,
        reservation=guest,
        public_address=public,
        public_port=wanted[0],
        ports=wanted[-1] - wanted[0] + 1,
        target_port=wanted[0],
    )
    PortClaim.objects.bulk_create(
        (
            PortClaim(public_address=public, protocol="tcp", port=port, forward=forward)
            for port in wanted
        ),
        batch_size=5_000,
    )
    return len(wanted)


if __name__ == "__main__":
    fill(int(sys.argv[1]))
