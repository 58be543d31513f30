"""Pictures of guests' screens: asked for while somebody looks, and shown when they have come.

Nobody waits for one: the host is only told, at most once in `AGAIN` seconds for a VM, and its
monitor sends the picture when it has it. The control worker keeps the newest.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.cache import cache

from kvmweb.hosts.ask import tell
from kvmweb.hosts.models import Host
from vms.models import Picture, Vm

log = logging.getLogger(__name__)

AGAIN = 20
LARGEST = 256 << 10
_PNG = b"\x89PNG\r\n\x1a\n"
_SHOWING = frozenset({"running", "paused"})


def newest(vm: Vm) -> Picture | None:
    """The newest picture of a VM, none while it is off; a fresh one is asked for."""
    if vm.power_state not in _SHOWING or vm.goes_at is not None:
        return None
    if not vm.host.is_silent and cache.add(f"picture.{vm.pk}", 1, AGAIN):
        tell(vm.host, "picture", {"vm": str(vm.uuid)})
    return Picture.objects.filter(vm=vm).first()


def record(host: Host, payload: Mapping[str, Any]) -> None:
    """Keep what a host's monitor sent, of its own VMs alone."""
    vm = Vm.objects.filter(host=host, uuid=payload["vm"], present=True).first()
    png = b64decode(payload["png"])
    if vm is None or len(png) > LARGEST or not png.startswith(_PNG):
        log.warning("picture of host %s dropped", host)
        return
    taken = {"png": png, "taken_at": datetime.fromisoformat(payload["at"])}
    Picture.objects.update_or_create(vm=vm, defaults=taken)
