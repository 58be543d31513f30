"""A project in the middle of its day: things that run, are off, under way, and have failed."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from kvmweb.host.progress import Step
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from networks.actions import (
    accept_peering,
    add_host_name,
    apply_to_network,
    ask_peering,
    change_forward,
    create_address_set,
    create_network,
    create_rule_set,
    set_ipv6,
)
from networks.inbound import RuleText
from networks.leases import record as record_leases
from networks.models import Forward, Network, Reservation
from tests.cast import fail_job, finish_job, report, start_job
from tests.vms.test_first_boot import public_key
from vms.actions import NewForward, NewImage, NewVm, add_key, bin_vm, create_vm, upload_image
from vms.models import Flavour, Image, Vm

REASON = "Image tiny could not be copied: the disk of host h1 is full (0 B free of 40 GiB)."
REMEDY = "Free space on the host, then press Retry."


def add_vm(actor: Actor, network: Network, image: Image, name: str, **doors: int) -> Vm:
    """A VM whose network's part is done and whose own job waits. `p80=20080` forwards to 80."""
    forwards = [
        NewForward(target_port=int(target[1:]), public_port=public)
        for target, public in doors.items()
    ]
    wanted = NewVm(name=name, network=network.uuid, image=image.uuid, forwards=forwards)
    made = create_vm(actor, wanted)
    network.refresh_from_db()
    finish_job(network.job)
    made.refresh_from_db()
    return made


def leases_of(guests: list[Reservation]) -> dict[str, Any]:
    """What a host tells of guests that hold their address for another 50 minutes."""
    until = int(time.time()) + 3000
    told = [
        {"mac": each.mac, "address": each.address, "hostname": each.name, "expires": until}
        for each in guests
    ]
    return {"anew": True, "leases": told, "gone": []}


@pytest.fixture
def pages(
    actor: Actor,
    vm: Vm,
    network: Network,
    image: Image,
    forward: Forward,
    host: Host,
    settings: LazySettings,
) -> dict[str, str]:
    """Addresses of every page worth looking at, by name."""
    settings.KVMWEB_HOST_SILENCE = 3600
    many = [f"10.{n}.0.0/16" for n in range(9)]
    change_forward(actor, forward.uuid, sources=many, max_connections=20, max_rate=5)
    web = add_vm(actor, network, image, "web-2", p80=20080, p443=20443)
    finish_job(web.job, state="running")
    finish_job(add_vm(actor, network, image, "database").job, state="off")
    lab = create_network(actor, name="lab", mode="isolated", ipv4_subnet="10.61.0.0/26")
    finish_job(lab.job)
    broken = add_vm(actor, lab, image, "build-runner")
    fail_job(broken.job, REASON, remedy=REMEDY)
    binned = add_vm(actor, network, image, "old-shop", p21=20021)
    finish_job(binned.job, state="off")
    finish_job(bin_vm(actor, binned.uuid).job, state="off")
    network.refresh_from_db()
    finish_job(network.job)
    mail = add_vm(actor, network, image, "mail", p25=20025)
    job = start_job(mail.job)
    report(job, Step(key="image", sentence="Copying image tiny", state="running", percent=34))
    record_leases(host, leases_of(vm.reservations))
    set_ipv6(actor, network.uuid, ipv6="nat66")
    office = create_address_set(actor, name="office", networks=[*many, "2001:db8:77::/48"])
    rules = [
        RuleText(protocol="tcp", ports=f"{8000 + 10 * n}-{8005 + 10 * n}", sources=tuple(many[:n]))
        for n in range(7)
    ]
    rules.append(RuleText(protocol="any", address_set=str(office.uuid), note="people at work"))
    web_set = create_rule_set(actor, name="web-servers-of-the-shop", rules=rules)
    apply_to_network(actor, network.uuid, rule_sets=[web_set.uuid])
    finish_job(Network.objects.get(pk=network.pk).job)
    name = add_host_name(
        actor,
        reservation=forward.reservation.uuid,
        name="a-rather-long-name-of-the-shop.example.org",
        expires_at=timezone.now() + timedelta(hours=5),
    )
    office_net = create_network(actor, name="office", ipv4_subnet="10.62.0.0/24")
    pair = ask_peering(actor, network=network.uuid, peer=office_net.uuid)
    accept_peering(actor, pair.uuid)
    for each in (network, office_net):
        finish_job(Network.objects.get(pk=each.pk).job)
    Image.objects.create(name="debian-netinst", sha256="3" * 64, found_format="iso")
    add_key(actor, public_key=public_key(comment="alice@a-laptop-with-a-long-name"))
    Flavour.objects.create(name="small", vcpus=1, memory_mib=512, disk_gib=4)
    half = upload_image(actor, NewImage(name="half"), upload_bytes=3 << 30)
    return {
        "overview": "/",
        "vms": "/vms/",
        "vm": f"/vms/{vm.uuid}/",
        "vm-busy": f"/vms/{mail.uuid}/",
        "vm-failed": f"/vms/{broken.uuid}/",
        "vm-hardware": f"/vms/{vm.uuid}/hardware/",
        "vm-in-bin": f"/vms/{binned.uuid}/",
        "vms-bin": "/vms/bin/",
        "vm-media": f"/vms/{vm.uuid}/media/",
        "vm-rebuild": f"/vms/{web.uuid}/rebuild/",
        "vm-clone": f"/vms/{web.uuid}/clone/",
        "flavours": "/flavours/",
        "ssh-keys": "/account/keys/",
        "vm-settings": f"/vms/{vm.uuid}/settings/",
        "vm-activity": f"/vms/{vm.uuid}/activity/",
        "vm-console": f"/vms/{vm.uuid}/console/",
        "vm-serial": f"/vms/{vm.uuid}/console/?kind=serial",
        "vm-delete": f"/vms/{web.uuid}/delete/",
        "vm-new": "/vms/new/",
        "networks": "/networks/",
        "network": f"/networks/{network.uuid}/",
        "network-new": "/networks/new/",
        "network-settings": f"/networks/{network.uuid}/settings/",
        "network-ipv6": f"/networks/{network.uuid}/ipv6/",
        "firewall": "/firewall/",
        "rule-set": f"/firewall/rule-sets/{web_set.uuid}/",
        "address-set": f"/firewall/address-sets/{office.uuid}/",
        "network-firewall": f"/networks/{network.uuid}/firewall/",
        "peering-new": f"/networks/{network.uuid}/peerings/new/",
        "network-services": f"/networks/{network.uuid}/services/",
        "reservation": f"/reservations/{forward.reservation.uuid}/",
        "network-delete": f"/networks/{network.uuid}/delete/",
        "forwards": "/forwards/",
        "forward": f"/forwards/{forward.uuid}/",
        "forward-new": "/forwards/new/",
        "forward-flows": f"/forwards/{forward.uuid}/flows/",
        "network-refused": f"/networks/{network.uuid}/refused/",
        "forward-why": f"/forwards/{forward.uuid}/why/",
        "outside-why": f"/reservations/{forward.reservation.uuid}/why/",
        "forward-delete": f"/forwards/{forward.uuid}/delete/",
        "host-names": "/host-names/",
        "host-name": f"/host-names/{name.uuid}/",
        "host-name-new": "/host-names/new/",
        "host-name-why": f"/host-names/{name.uuid}/why/",
        "peering-why": f"/peerings/{pair.uuid}/why/",
        "images": "/images/",
        "image": f"/images/{image.uuid}/",
        "image-uploading": f"/images/{half.uuid}/",
        "image-settings": f"/images/{image.uuid}/settings/",
        "image-delete": f"/images/{image.uuid}/delete/",
        "image-new": "/images/new/",
        "image-upload": "/images/upload/",
        "image-catalogue": "/images/catalogue/",
        "activity": "/activity/",
        "job": f"/jobs/{job.uuid}/",
        "job-failed": f"/jobs/{broken.job.uuid if broken.job else ''}/",
        "hosts": "/hosts/",
        "who-had-it": "/who-had-it/",
        "host": f"/hosts/{host.uuid}/",
        "tokens": "/account/tokens/",
        "password": "/account/password/",
        "search": "/search/?q=web",
    }
