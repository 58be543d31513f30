"""`python -m tests.bench.rows N`: N VMs as rows alone, settled, with addresses and forwards."""

from __future__ import annotations

import sys

import django
from django.db import transaction

django.setup()

from kvmweb.hosts.models import Host, PublicAddress  # noqa: E402
from kvmweb.projects.models import Project  # noqa: E402
from networks.models import Forward, Network, PortClaim, Reservation  # noqa: E402
from vms.models import Disk, Image, Nic, Vm  # noqa: E402


@transaction.atomic
def fill(count: int) -> None:
    """All on one network of one host; nothing is sent anywhere."""
    host = Host.objects.usable().order_by("pk")[0]
    public = PublicAddress.objects.filter(host=host)[0]
    image = Image.objects.filter(project=None)[0]
    project = Project.objects.create(name="many")
    settled = {"generation": 1, "applied_generation": 1}
    network = Network.objects.create(
        project=project, host=host, name="many", ipv4_subnet="10.200.0.0/16", **settled
    )
    for number in range(count):
        name = f"vm-{number:04}"
        vm = Vm.objects.create(
            project=project, host=host, name=name, image=image, power_state="running", **settled
        )
        Disk.objects.create(vm=vm, image=image, size_gib=1)
        reservation = Reservation.objects.create(
            network=network,
            name=name,
            mac=f"52:54:01:00:{number >> 8:02x}:{number & 255:02x}",
            address=f"10.200.{number >> 8}.{(number & 255)}",
        )
        Nic.objects.create(vm=vm, reservation=reservation)
        forward = Forward.objects.create(
            network=network,
            reservation=reservation,
            public_address=public,
            public_port=25000 + number,
            target_port=22,
        )
        PortClaim.objects.create(
            public_address=public, protocol="tcp", port=25000 + number, forward=forward
        )


if __name__ == "__main__":
    fill(int(sys.argv[1]))
