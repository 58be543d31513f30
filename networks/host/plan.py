"""From what should be and what is to what to do. Pure, and empty when nothing is to be done.

Order keeps guests safe at every point a crash may choose: rules before links, elements before
anything forwards or a guest gets an address; on the way out elements first, then connections,
then links. How connections that have to be ended survive a crash is told in `ruleset`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_interface

from kvmweb.core import names
from kvmweb.core.ipv6 import GATEWAY_LINK_LOCAL, SUBNET_PREFIX
from networks.host import own_router
from networks.host.allowed import Judge
from networks.host.contents import PROXIED, allowed_sources, elements, host_elements
from networks.host.dhcp_files import dhcp_files
from networks.host.elements import DOORS, PROTOCOLS, SOURCE_SETS, Element, Field
from networks.host.noting import LOGGED
from networks.host.ops import (
    AddAddress,
    Allowed,
    AttachPort,
    BringUp,
    ChangeElements,
    CreateBridge,
    DeleteBridge,
    Destination,
    EnableForwarding,
    EnableForwarding6,
    EndFlows,
    ForgetRefused,
    LoadSkeleton,
    Op,
    PassBridged,
    ReloadDhcp,
    RemoveAddress,
    RemoveDhcp,
    RemoveZone,
    SetBridge,
    SetSysctl,
    StartDhcp,
    StartNames,
    WidenPort,
    WriteDhcp,
    WriteZone,
)
from networks.host.own_router import DeleteRouter
from networks.host.proxy import addresses, proxy_plan
from networks.host.ruleset import MARKERS
from networks.host.spec import NetworkSpec
from networks.host.state import (
    BRIDGE_FORWARDING6,
    BRIDGE_SYSCTLS,
    BRIDGE_SYSCTLS6,
    SWITCH_SYSCTLS,
    BridgeState,
    NetworkState,
    Settings,
)
from networks.host.zone_file import zone_file

_WAYS = frozenset(
    {
        *("egress", "egress_all", "egress_ports", "routed", "pairs", "open_all", "open_ports"),
        *("snat4", "masq", "snat_pool"),
        *("snat6", "masq6", "routed6"),
        *("egress_all6", "egress_ports6", "open_all6", "open_ports6"),
    }
)
_GIVING = frozenset({"snat_pool", "open_all", "open_ports", "open_all6", "open_ports6"})
_NUMBERS = frozenset(DOORS.values())


def plan(spec: NetworkSpec, state: NetworkState) -> tuple[Op, ...]:
    """What brings `state` to `spec`, in order."""
    if not spec.present:
        return tuple(_absent(spec, state))
    return tuple(_bridged(spec, state) if spec.mode == "bridged" else _present(spec, state))


def gateway(spec: NetworkSpec) -> str:
    """The address of the bridge in CIDR notation."""
    return f"{spec.gateway}/{IPv4Network(spec.subnet).prefixlen}"


def bridge_addresses(spec: NetworkSpec) -> frozenset[str]:
    """All addresses of the bridge in CIDR notation."""
    if spec.transit:
        return frozenset()
    if spec.ipv6 == "off":
        return frozenset([gateway(spec)])
    return frozenset([gateway(spec), gateway6(spec), f"{GATEWAY_LINK_LOCAL}/{SUBNET_PREFIX}"])


def gateway6(spec: NetworkSpec) -> str:
    """The IPv6 address of the bridge in CIDR notation."""
    return f"{spec.gateway6}/{SUBNET_PREFIX}"


def _present(spec: NetworkSpec, state: NetworkState) -> Iterator[Op]:
    if not state.skeleton:
        yield LoadSkeleton()
    yield from _bridge(spec, state.bridge)
    if spec.transit:
        yield from _router(spec, state)
    outer, seen = on_host(spec, state)
    switch6 = spec.ipv6 != "off" and not state.router6
    shut = switch6 or state.router6_ours
    yield from _told(spec, _elements(outer, seen, _wanted(spec, state, shut=shut)))
    if spec.transit:
        yield from own_router.settings(spec, state.own_router)
    if state.bridge_filter == "on":
        yield PassBridged()
    for uplink in state.uplinks:
        if not uplink.forwarding:
            yield EnableForwarding(uplink.name)
    if switch6 or (state.router6_ours and any(uplink.deaf for uplink in state.uplinks)):
        yield EnableForwarding6()
    yield from _forwarding6(spec, state.bridge)
    for port in sorted(state.loose_ports):
        yield AttachPort(port, spec.bridge)
    for port in sorted(state.narrow_ports):
        yield WidenPort(port, spec.mtu)
    yield from _names(spec, state)
    yield from _dhcp(spec, state)
    yield from proxy_plan(outer, state.proxy)


def _told(spec: NetworkSpec, ops: Iterable[Op]) -> Iterator[Op]:
    """The same, in words of the network's own addresses."""
    for op in ops:
        if spec.transit and isinstance(op, ChangeElements):
            yield replace(op, behind=(spec.transit, spec.subnet))
        else:
            yield op


def on_host(spec: NetworkSpec, state: NetworkState) -> tuple[NetworkSpec, NetworkState]:
    """The network as the rest of its host has it, and how it is there."""
    if not spec.transit:
        return spec, state
    return own_router.host_side(spec), replace(state, bridge=state.host_link)


def _wanted(spec: NetworkSpec, state: NetworkState, *, shut: bool) -> frozenset[Element]:
    uplinks = [uplink.name for uplink in state.uplinks]
    through = {uplink.name for uplink in state.uplinks if uplink.through}
    through |= state.passed if shut else set()
    places = addresses(on_host(spec, state)[0], state.proxy)
    of_host = host_elements(uplinks, state.closed, places, shut=shut, through=through)
    return elements(spec) | of_host


def _bridged(spec: NetworkSpec, state: NetworkState) -> Iterator[Op]:
    """Nothing of the host but the guest ports is this network's to set."""
    if not state.skeleton:
        yield LoadSkeleton()
    yield from _elements(spec, state, _wanted(spec, state, shut=state.router6_ours))
    for port in sorted(state.loose_ports):
        yield AttachPort(port, spec.attach)


def _absent(spec: NetworkSpec, state: NetworkState) -> Iterator[Op]:
    outer, seen = on_host(spec, state)
    ours = own_router.owners(spec)
    kept = frozenset(e for e in state.elements if e.owner not in ours and e.name not in PROXIED)
    proxied = (
        host_elements((), (), addresses(outer, state.proxy)) if state.skeleton else frozenset()
    )
    yield from _told(spec, _elements(outer, seen, kept | proxied))
    yield from proxy_plan(outer, state.proxy)
    if not spec.transit:
        yield from _dhcp(spec, state)
    elif state.own_router.leftover:
        yield DeleteRouter(spec.bridge)
    yield from _names(spec, state)
    if state.bridge is not None:
        yield DeleteBridge(spec.bridge)


def _router(spec: NetworkSpec, state: NetworkState) -> Iterator[Op]:
    """The namespace, its cables, and the host's end of the one that leads to the host."""
    router, port = state.own_router, names.router_port(spec.bridge)
    yield from own_router.cables(spec, router)
    laid = router.there and router.port
    if not (laid and router.port_mtu == spec.mtu):
        yield WidenPort(port, spec.mtu)
    if not (laid and router.plugged):
        yield AttachPort(port, spec.bridge)
    outer, seen = on_host(spec, state)
    link = seen.bridge if router.there and router.link else None
    if link is None or link.mtu != spec.mtu:
        yield WidenPort(outer.bridge, spec.mtu)
    yield from _interface(outer, link)


def _bridge(spec: NetworkSpec, bridge: BridgeState | None) -> Iterator[Op]:
    if bridge is None:
        yield CreateBridge(spec.bridge, own_router.bridge_mac(spec), spec.mtu)
    elif not _as_fixed(spec, bridge):
        yield SetBridge(spec.bridge, own_router.bridge_mac(spec), spec.mtu)
    yield from _interface(spec, bridge)


def _interface(spec: NetworkSpec, bridge: BridgeState | None) -> Iterator[Op]:
    """What the host has of the network as an interface: settings and addresses."""
    there = {} if bridge is None else dict(bridge.sysctls)
    for key, value in _settings(spec):
        if bridge is None or there.get(key, value) != value:
            yield SetSysctl(spec.bridge, key, value)
    present = bridge.addresses if bridge else frozenset()
    for address in sorted(present - bridge_addresses(spec)):
        yield RemoveAddress(spec.bridge, address)
    for address in sorted(bridge_addresses(spec) - present):
        yield AddAddress(spec.bridge, address)
    if bridge is None or not bridge.up:
        yield BringUp(spec.bridge)


def _settings(spec: NetworkSpec) -> Settings:
    if spec.transit:
        return SWITCH_SYSCTLS
    return BRIDGE_SYSCTLS if spec.ipv6 == "off" else BRIDGE_SYSCTLS6


def _forwarding6(spec: NetworkSpec, bridge: BridgeState | None) -> Iterator[Op]:
    key, value = BRIDGE_FORWARDING6
    if spec.ipv6 != "off" and (bridge is None or dict(bridge.sysctls).get(key, value) != value):
        yield SetSysctl(spec.bridge, key, value)


def _as_fixed(spec: NetworkSpec, bridge: BridgeState) -> bool:
    return bridge.plain and (bridge.mac, bridge.mtu) == (own_router.bridge_mac(spec), spec.mtu)


@dataclass(frozen=True, slots=True)
class _Flows:
    """Whose connections a change of elements concerns: `numbers`, `narrowed` and `network` lose
    their marker until those were ended."""

    numbers: frozenset[int]
    narrowed: frozenset[int]
    network: bool
    ops: tuple[EndFlows, ...]

    def concern(self, element: Element) -> bool:
        """Whether `element` is a marker that has to wait for the end of these connections."""
        if element.name == "settled":
            return self.network
        if element.name == "sifted":
            return element.key[0] in self.narrowed
        return element.name in MARKERS and element.key[0] in self.numbers


def _elements(
    spec: NetworkSpec, state: NetworkState, wanted: frozenset[Element]
) -> Iterator[ChangeElements | ForgetRefused | EndFlows]:
    missing, extra = wanted - state.elements, state.elements - wanted
    flows = _flows(spec, state, missing, extra)
    data, gone = _data(missing), _data(extra)
    unsettled: frozenset[Element] = frozenset()
    if data or gone:
        unsettled = frozenset(e for e in state.elements & wanted if flows.concern(e))
        yield ChangeElements(add=data, remove=gone | unsettled)
    if unlogged := frozenset(str(element.key[0]) for element in gone if element.name == LOGGED):
        yield ForgetRefused(unlogged)
    yield from flows.ops
    markers = ChangeElements(add=(missing - data) | unsettled, remove=extra - gone)
    if markers.add or markers.remove:
        yield markers


def _data(changed: frozenset[Element]) -> frozenset[Element]:
    return frozenset(element for element in changed if element.name not in MARKERS)


def _flows(
    spec: NetworkSpec,
    state: NetworkState,
    missing: frozenset[Element],
    extra: frozenset[Element],
) -> _Flows:
    numbers = _numbers_to_end(state, missing, extra)
    subnets = _moved(spec, state.bridge, extra) if state.bridge is not None else frozenset()
    whole = not spec.present or spec.subnet in subnets
    judged = state.bridge is not None and not whole and _is_judged(spec, missing, extra)
    narrowed = _narrowed(state, missing, extra) - numbers
    ends = EndFlows(
        numbers=numbers,
        narrowed=_allowed(spec, narrowed),
        destinations=_destinations(state, missing, numbers),
        subnets=subnets,
        judge=_judge(spec, state) if judged else None,
    )
    ended = bool(subnets) or judged
    return _Flows(numbers, narrowed, ended, (ends,) if ends != EndFlows() else ())


def _numbers_to_end(
    state: NetworkState, missing: frozenset[Element], extra: frozenset[Element]
) -> frozenset[int]:
    """Forwards that lose or change a port, or did so before a crash."""
    known = {(e.name, e.key): int(e.value[0]) for e in state.elements if e.name in _NUMBERS}
    led = {(DOORS[e.name], e.key) for e in missing | extra if e.name in DOORS}
    changed = {known[place] for place in led if place in known}
    renumbered = {int(e.value[0]) for e in extra if e.name in _NUMBERS}
    unsettled = {int(e.key[0]) for e in missing if e.name == "acct_in"} & set(known.values())
    stale = {int(e.key[0]) for e in extra if e.name in {"acct_in", "acct_out"}}
    return frozenset(changed | renumbered | unsettled | stale)


def _narrowed(
    state: NetworkState, missing: frozenset[Element], extra: frozenset[Element]
) -> frozenset[int]:
    """Restricted forwards that lose a source, or did so before a crash."""
    known = {int(e.value[0]) for e in state.elements if e.name in _NUMBERS}
    unsifted = {int(e.key[0]) for e in missing if e.name in {"sifted", "restricted"}}
    lost = {int(e.key[0]) for e in extra if e.name in SOURCE_SETS.values()}
    lost |= {int(str(e.key[0]).partition("-")[0]) for e in extra if e.name == "src6"}
    open_again = {int(e.key[0]) for e in extra if e.name == "restricted"}
    return frozenset((unsifted | lost) & known - open_again)


def _allowed(spec: NetworkSpec, numbers: frozenset[int]) -> frozenset[Allowed]:
    return frozenset(
        Allowed(forward.number, frozenset(map(str, allowed_sources(spec, forward))))
        for forward in spec.forwards
        if forward.number in numbers
    )


def _moved(spec: NetworkSpec, bridge: BridgeState, extra: frozenset[Element]) -> frozenset[str]:
    """The subnets in which no connection is as it was: guests get other addresses, or the network
    goes. Nobody has connections by addresses of the link alone that were translated."""
    if spec.present:
        gone = bridge.addresses - bridge_addresses(spec)
        return _subnets(gone | ({gateway(spec)} - bridge.addresses))
    if any(element.owner == spec.bridge for element in extra):
        return _subnets(bridge.addresses) | {each for each in (spec.subnet, spec.subnet6) if each}
    return frozenset()


def _subnets(cidrs: Iterable[str]) -> frozenset[str]:
    found = [ip_interface(cidr).network for cidr in cidrs]
    return frozenset(str(network) for network in found if not network.is_link_local)


def _is_judged(spec: NetworkSpec, missing: frozenset[Element], extra: frozenset[Element]) -> bool:
    """Whether a change may have taken something back from the network's guests, or did so before a
    crash. A new guest's share of a pool and a new opening take nothing."""
    changed = extra | {element for element in missing if element.name not in _GIVING}
    return any(
        element.name in _WAYS | {"settled"} and element.owner == spec.bridge for element in changed
    )


def _judge(spec: NetworkSpec, state: NetworkState) -> Judge:
    primary = (uplink.primary for uplink in state.uplinks)
    return Judge(
        spec=spec,
        whole=frozenset(each.number for each in spec.forwards if each.protocol == "all"),
        own=state.own,
        masquerade=frozenset().union(*primary),
        others=state.others,
    )


def _destinations(
    state: NetworkState, missing: frozenset[Element], numbers: frozenset[int]
) -> frozenset[Destination]:
    """UDP clients that were sending before the forward was there hold on to their old path."""
    places = {(DOORS[e.name], e.key) for e in missing if e.name in DOORS}
    places |= {
        (e.name, e.key) for e in state.elements if e.name in _NUMBERS and e.value[0] in numbers
    }
    found = (_destination(name, key) for name, key in places)
    return frozenset(each for each in found if each.protocol == "udp")


def _destination(name: str, key: tuple[Field, ...]) -> Destination:
    """What the clients of a door send to."""
    if name == DOORS["whole4"]:
        return Destination("udp", str(key[0]), 1, 65535)
    if name in {DOORS["fwd4"], DOORS["fwd6"]}:
        return Destination(str(key[1]), str(key[0]), int(key[2]), int(key[2]))
    (first, last), (address, _), (protocol, _) = (str(field).split("-") for field in key)
    word = "udp" if int(protocol) == PROTOCOLS["udp"] else "tcp"
    return Destination(word, address, int(first), int(last))


def _names(spec: NetworkSpec, state: NetworkState) -> Iterator[Op]:
    wanted = zone_file(spec)
    if wanted is None:
        if state.zone is not None:
            yield RemoveZone(spec.bridge)
        return
    if wanted != state.zone:
        yield WriteZone(spec.bridge, wanted)
    if not state.names_running:
        yield StartNames()


def _dhcp(spec: NetworkSpec, state: NetworkState) -> Iterator[Op]:
    wanted = dhcp_files(spec, state.resolvers)
    router = spec.bridge if spec.transit else ""
    there = {(file.folder, file.name) for file in state.dhcp_files}
    write = wanted - state.dhcp_files
    kept = {(file.folder, file.name) for file in wanted}
    remove = frozenset(f for f in state.dhcp_files if (f.folder, f.name) not in kept)
    replaced = any((file.folder, file.name) in there for file in write)
    if remove:
        yield RemoveDhcp(remove, router)
    for folder in ("opts", "hosts"):
        files = frozenset(file for file in write if file.folder == folder)
        if files:
            yield WriteDhcp(files, any((f.folder, f.name) in there for f in files), router)
    if not state.dhcp_running:
        if spec.present:
            yield StartDhcp(router)
    elif remove or replaced or state.dhcp_reload_due:
        yield ReloadDhcp(router)
