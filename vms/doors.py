"""How a VM is reached from outside, in the words one would type."""

from __future__ import annotations

from dataclasses import dataclass

from networks.models import Forward
from vms.models import Vm

SSH = 22
HTTP = frozenset({80, 3000, 8000, 8080})
HTTPS = frozenset({443, 8443})


@dataclass(frozen=True, slots=True)
class Door:
    """A forward with what to do with it: a command, a link, or the bare endpoint."""

    forward: Forward
    kind: str
    text: str
    url: str = ""

    @property
    def shown(self) -> str:
        """The endpoint, with its protocol where one would not guess it."""
        udp = " UDP" if self.forward.protocol == Forward.Protocol.UDP else ""
        return f"{self.forward.public_endpoint}{udp}"

    @property
    def is_link(self) -> bool:
        return bool(self.url)


def doors_of(vm: Vm) -> list[Door]:
    """The doors of a VM that was read by `for_display`; a paused forward is none."""
    user = vm.login
    return [
        _door(forward, user)
        for reservation in vm.reservations
        for forward in getattr(reservation, "open_forwards", ())
        if not forward.paused
    ]


def _door(forward: Forward, user: str) -> Door:
    address, port = forward.public_address.address, forward.public_port
    if "tcp" not in forward.protocols or forward.ports > 1:
        return Door(forward, "other", forward.public_endpoint)
    if forward.target_port == SSH:
        option = "" if port == SSH else f"-p {port} "
        return Door(forward, "ssh", f"ssh {option}{user}@{address}")
    if forward.target_port in HTTP:
        url = f"http://{address}{'' if port == 80 else f':{port}'}/"
        return Door(forward, "web", url, url)
    if forward.target_port in HTTPS:
        url = f"https://{address}{'' if port == 443 else f':{port}'}/"
        return Door(forward, "web", url, url)
    return Door(forward, "other", forward.public_endpoint)
