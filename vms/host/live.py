"""What of a change a running guest can take at once. Pure.

Everything here is tried: a guest may not answer a request to let go of a device or of memory, and a
machine may have no free port. What does not come about takes effect at the next start, which
`restart_needed` says; so these operations may be left in a plan when a job has ended well.
"""

from __future__ import annotations

from collections.abc import Iterator

from vms.host import domain_xml
from vms.host.layout import Layout
from vms.host.ops import AttachDevice, ChangeMedium, DetachDevice, LiveOp, SetMemory, SetVcpus
from vms.host.spec import VmSpec


def live_ops(live_xml: str, spec: VmSpec, layout: Layout) -> Iterator[LiveOp]:
    """What brings the guest that runs as `live_xml` nearer to `spec`."""
    live = domain_xml.parse(live_xml)
    yield from _size(live, spec)
    for xml in domain_xml.unwanted_devices(live, spec, layout):
        yield DetachDevice(name=spec.domain, xml=xml)
    if xml := domain_xml.other_medium(live, spec, layout):
        yield ChangeMedium(name=spec.domain, xml=xml)
    missing = domain_xml.missing_devices(live, spec, layout)
    for xml in missing[: domain_xml.free_ports(live)]:
        yield AttachDevice(name=spec.domain, xml=xml)


def _size(live: domain_xml.Element, spec: VmSpec) -> Iterator[LiveOp]:
    has, most = domain_xml.memory_mib(live)
    if has != spec.memory_mib <= most:
        yield SetMemory(name=spec.domain, memory_mib=spec.memory_mib)
    has, most = domain_xml.vcpus(live)
    if has < spec.vcpus <= most:
        yield SetVcpus(name=spec.domain, vcpus=spec.vcpus)
