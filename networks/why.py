"""Why a forward, or the outside for a guest, is (not) reachable: what the rows know, then the host.

The host is asked now (`kvmweb.hosts.ask`); nothing is written. What a host says of the rules of its
other firewalls is for operators; everybody learns which chain it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from typing import Literal

import msgspec

from kvmweb.core.access import User, is_operator
from kvmweb.core.errors import Invalid
from kvmweb.hosts.ask import ask
from networks.host.explain.steps import Case, Step, first_broken
from networks.models import Forward, HostName, Network, Peering, Reservation


@dataclass(frozen=True, slots=True)
class Explanation:
    """Steps in the packet's order."""

    steps: tuple[Step, ...]

    @property
    def broken(self) -> Step | None:
        """The first step that keeps it from working."""
        return first_broken(self.steps)

    @property
    def stops_at(self) -> str:
        """The title of that step, for the middle of a sentence."""
        title = self.broken.title if self.broken else ""
        return title if title[:2].isupper() else title[:1].lower() + title[1:]

    @property
    def reachable(self) -> bool | None:
        """None when nothing broken was found and yet not everything could be told."""
        if self.broken is not None:
            return False
        return None if any(step.verdict == "unknown" for step in self.steps) else True

    @property
    def way(self) -> tuple[Step, ...]:
        """The steps down to the first that is broken."""
        if self.broken is None:
            return self.steps
        return self.steps[: self.steps.index(self.broken) + 1]

    @property
    def beyond(self) -> tuple[Step, ...]:
        """The rest, which may be broken only because of it."""
        return self.steps[len(self.way) :]


def why_forward(
    user: User, forward: Forward, *, source: str = "", protocol: str = "", public_port: int = 0
) -> Explanation:
    """For one protocol and port of the forward: the first ones unless others are named."""
    if protocol and not forward.is_whole and protocol not in forward.protocols:
        words = " or ".join(forward.protocols)
        raise Invalid(f"This forward is for {words}.", field="protocol")
    _refuse_no_address(source, "source")
    known = (*_told(forward.network), *_paused(forward))
    case = Case(
        network=str(forward.network.uuid),
        forward=str(forward.uuid),
        protocol="udp" if (protocol or forward.protocols[0]) == "udp" else "tcp",
        public_port=public_port,
        source=source,
    )
    return _explanation(user, forward.network, known, case)


def why_guest(
    user: User,
    reservation: Reservation,
    *,
    way: Literal["out", "in"] = "out",
    address: str = "",
    protocol: Literal["tcp", "udp", "icmp", ""] = "",
    port: int = 0,
    version: Literal[4, 6] = 4,
) -> Explanation:
    """For the guest of a reservation: its way to the outside, or in by its own address. `address`
    is the other end, `port` the one that is asked for there or here."""
    network = reservation.network
    binned = (_binned(reservation),) if reservation.parked else ()
    _refuse_no_address(address, "destination" if way == "out" else "source")
    case = Case(
        network=str(network.uuid),
        reservation=str(reservation.uuid),
        way=way,
        source=address if way == "in" else "",
        destination=address if way == "out" else "",
        protocol=protocol or "tcp",
        port=port,
        version=version,
    )
    return _explanation(user, network, (*_told(network), *binned), case)


def why_peering(user: User, peering: Peering) -> Explanation:
    """For two networks that want to reach each other."""
    network, peer = peering.network, peering.peer
    own, other = f" of {network}", f" of {peer}"
    known = (*_accepted(peering), *_told(network, of=own), *_told(peer, "told:peer", of=other))
    case = Case(network=str(network.uuid), peer=str(peer.uuid))
    return _explanation(user, network, known, case)


def why_host_name(user: User, name: HostName) -> Explanation:
    """For requests by a host name."""
    known = (*_told(name.network), *_paused(name))
    case = Case(network=str(name.network.uuid), host_name=str(name.uuid))
    return _explanation(user, name.network, known, case)


def _accepted(peering: Peering) -> Iterator[Step]:
    if not peering.accepted:
        yield Step(
            key="accepted",
            title="Both networks agree",
            verdict="broken",
            found=f"{peering.network} asked, and nobody has accepted for {peering.peer} yet.",
            wanted="A peering that was accepted.",
            remedy=f"Accept it for {peering.peer}.",
        )


def _explanation(user: User, network: Network, known: tuple[Step, ...], case: Case) -> Explanation:
    """What the rows know to be broken needs no host, which could only repeat it."""
    if first_broken(known) is not None:
        return Explanation(known)
    said = msgspec.convert(ask(network.host, "explain", asdict(case)), tuple[Step, ...])
    if not is_operator(user):
        said = tuple(replace(step, detail="") for step in said)
    return Explanation((*known, *said))


def _refuse_no_address(text: str, field: str) -> None:
    try:
        ip_address(text or "::")
    except ValueError as error:
        raise Invalid(f"“{text}” is not an IP address.", field=field) from error


def _told(network: Network, key: str = "told", *, of: str = "") -> Iterator[Step]:
    title = f"The host has what was asked for{of}"
    job = network.job
    if not network.is_applied and job is not None and job.has_failed:
        yield Step(
            key=key,
            title=title,
            verdict="broken",
            found=f"The last change of network {network} failed: {job.message}",
            wanted="The newest change on the host.",
            remedy=job.remedy or "Press Repair.",
            mend="repair",
        )
    elif not network.is_applied:
        yield Step(
            key=key,
            title=title,
            verdict="unknown",
            found="A change is on its way to the host; what follows is from before it.",
        )
    else:
        yield Step(key=key, title=title, verdict="ok", found="The newest change is there.")


def _binned(target: Reservation) -> Step:
    return Step(
        key="binned",
        title="The VM is not in the recycle bin",
        verdict="broken",
        found=f"VM “{target.name}” is there: what leads to it is kept, and closed.",
        wanted="A VM that is not deleted.",
        remedy="Take the VM back from the bin.",
    )


def _paused(found: Forward | HostName) -> Iterator[Step]:
    what, kept = ("forward", "port") if isinstance(found, Forward) else ("host name", "name")
    if found.reservation.parked:
        yield _binned(found.reservation)
    elif found.paused:
        over = found.is_expired
        yield Step(
            key="paused",
            title=f"The {what} is not paused",
            verdict="broken",
            found=f"It {'has expired' if over else 'is paused'}: its {kept} is kept, and nobody"
            " gets in.",
            wanted=f"A {what} that is not paused.",
            remedy="Extend it, or let it last for good." if over else "Resume it.",
            mend="" if over else "resume",
        )
    elif found.problem:
        yield Step(
            key="refused",
            title=f"The host took the {what}",
            verdict="broken",
            found=found.problem,
            wanted=f"A {what} that the host could set up.",
            remedy=f"Choose another public {'port' if kept == 'port' else 'address'}, or remove"
            " what stands in its way.",
        )
