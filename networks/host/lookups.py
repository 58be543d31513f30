"""What of a network is in the kernel, and what foreign chains do with its packets."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from networks.host import firewalls
from networks.host.chains.judging import BaseChain, Judged, Packet, judge
from networks.host.contents import owned
from networks.host.drivers.nftables import NftablesSocket
from networks.host.elements import Element
from networks.host.explain.seen import Foreign
from networks.host.explain.ways import Version
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec

_COUNTERS = frozenset({"acct_in", "acct_out", "settled"})
_OF_IPV4 = frozenset({"own4", "snat4", "snat_pool", "masq", "routed"})
_OF_IPV6 = frozenset({"own6", "own_nd", "snat6", "masq6", "routed6"})


def of_network(spec: NetworkSpec, version: Version) -> list[Element]:
    """The elements of the network as a whole that packets of this family need."""
    alone = replace(spec, reservations=(), forwards=())
    return _of_family(owned(alone), version)


def of_guest(spec: NetworkSpec, guest: ReservationSpec, version: Version) -> list[Element]:
    """Those of one guest."""
    alone = replace(spec, reservations=(guest,), forwards=())
    mine = [element for element, of in owned(alone).items() if of == guest.id]
    return _of_family(mine, version)


def of_forward(spec: NetworkSpec, forward: ForwardSpec) -> list[Element]:
    """Those of one protocol of one forward, without building those of all others."""
    alone = replace(spec, reservations=(), forwards=(forward,))
    return [element for element, of in owned(alone).items() if of == forward.id]


def looked_up(elements: list[Element]) -> list[Element]:
    """What lies in the places of these elements."""
    with closing(NftablesSocket()) as connection:
        return connection.lookup(elements)


def missing(elements: list[Element]) -> tuple[str, ...]:
    """What of these is not in the kernel, in words."""
    wanted = [element for element in elements if element.name not in _COUNTERS]
    there = set(looked_up(wanted))
    return tuple(
        f"{element.name} {' . '.join(str(part) for part in element.key)}"
        for element in wanted
        if element not in there
    )


def judged(chain: BaseChain, new: Packet) -> Foreign:
    """The worse of what happens to a packet and to its answer."""
    return Foreign(_worse(chain, new), firewalls.remedy(chain))


def _worse(chain: BaseChain, new: Packet) -> Judged:
    there = judge(chain, new)
    back = judge(
        chain,
        replace(
            new,
            iif=new.oif,
            oif=new.iif,
            source=new.destination,
            destination=new.source,
            sport=new.dport,
            dport=0,
            state="established",
        ),
    )
    if there.drops or back.passes:
        return there
    return back if back.drops or there.passes else there


def _of_family(elements: Iterable[Element], version: Version) -> list[Element]:
    others = _OF_IPV6 if version == 4 else _OF_IPV4
    return [each for each in elements if each.name not in others]
