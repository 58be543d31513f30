"""What a bridged network hangs on: an interface of the host that is not ours."""

from __future__ import annotations

from kvmweb.core.errors import HostError
from networks.host.drivers.links import Links, Ports
from networks.host.spec import NetworkSpec

GONE = "attachment_gone"


def loose(links: Links, spec: NetworkSpec, ports: Ports) -> frozenset[str]:
    """The guest ports that are up and not on the bridge; those by macvtap are on none. Raises
    `HostError` where the host has no such interface, or not of that sort."""
    kind = links.kind(spec.attach)
    if kind is None:
        raise HostError(
            f"The host has no interface {spec.attach}, which the guests of this network are on.",
            field="attachment",
            code=GONE,
            remedy=f"Make {spec.attach} again on the host, or give the guests another network.",
        )
    if spec.attached_to == "uplink":
        return frozenset()
    if kind != "bridge":
        raise HostError(
            f"The interface {spec.attach} of the host is no bridge, as it was.",
            field="attachment",
            code=GONE,
            remedy=f"Make {spec.attach} a bridge again on the host.",
        )
    return links.loose(ports, links.observe(spec.attach))
