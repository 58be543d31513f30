"""Keeping what hosts measured of their guests and of themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import msgspec
from django.utils import timezone
from msgspec import Meta

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import HOST, VM, Values
from kvmweb.metrics.window import Thing
from kvmweb.metrics.writing import writer
from vms.models import Vm

_OLDEST, _AHEAD = 3600, 120
_FIGURES = Meta(min_length=len(VM.fields), max_length=len(VM.fields))
_OF_HOST = Meta(min_length=len(HOST.fields), max_length=len(HOST.fields))
_Figure = Annotated[float, Meta(ge=0, le=1e18)]


class _Round(msgspec.Struct):
    slot: int
    host: Annotated[list[_Figure | None], _OF_HOST]
    vms: Annotated[dict[UUID, Annotated[list[_Figure | None], _FIGURES]], Meta(max_length=10_000)]


class _Said(msgspec.Struct):
    """What `kvmweb.host.program.meter` sends."""

    rounds: Annotated[list[_Round], Meta(max_length=100)]


def record(host: Host, payload: object) -> None:
    """Have kept what `host` measured, of VMs that are its own alone, of the last hour. Raises
    `Invalid` for what cannot be true."""
    try:
        said = msgspec.convert(payload, _Said)
    except msgspec.ValidationError as error:
        raise Invalid(f"The host's measurements cannot be true: {error}") from error
    now = timezone.now().timestamp()
    oldest, newest = (int((now + by) // VM.fine) for by in (-_OLDEST, _AHEAD))
    rounds = [one for one in said.rounds if oldest <= one.slot <= newest]
    own = set(Vm.objects.filter(host=host).values_list("uuid", flat=True))
    vms: dict[UUID, dict[int, Values]] = defaultdict(dict)
    for one in rounds:
        for uuid, values in one.vms.items():
            if uuid in own:
                vms[uuid][one.slot] = tuple(values)
    of_host = {one.slot: tuple(one.host) for one in rounds}
    writer().later(lambda rings: _keep(rings, host.uuid, of_host, vms))


def _keep(
    rings: Rings,
    host: UUID,
    of_host: Mapping[int, Values],
    vms: Mapping[UUID, Mapping[int, Values]],
) -> None:
    if of_host:
        rings.put(HOST, host, of_host)
    for uuid, slots in vms.items():
        rings.put(VM, uuid, slots)


def thing_of(vm: Vm) -> Thing:
    """What was measured of a VM."""
    return Thing(VM, vm.uuid, vm.host.uuid)
