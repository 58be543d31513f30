"""The plan as a function: properties over any specs, and the order of what it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.host.contents import elements
from networks.host.elements import DOORS, SOURCE_SETS, Element
from networks.host.ops import (
    AddAddress,
    Allowed,
    AttachPort,
    BringUp,
    ChangeElements,
    CreateBridge,
    DeleteBridge,
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
from networks.host.own_router import (
    DeleteRouter,
    LayCable,
    LoadTranslation,
    MakeRouter,
    SetUpRouter,
)
from networks.host.plan import plan
from networks.host.proxy import (
    ChangeNames,
    EndSessions,
    ProxyOp,
    ProxyState,
    StartProxy,
    StopProxy,
    StoreCertificates,
    WriteNames,
)
from networks.host.spec import (
    EgressSpec,
    ForwardSpec,
    HostNameSpec,
    NamesSpec,
    NetworkSpec,
    PeerSpec,
    ReservationSpec,
)
from networks.host.state import BRIDGE_SYSCTLS, BridgeFilter, BridgeState, NetworkState, UplinkState
from tests.networks.host.lab import PUBLIC, SECOND_PUBLIC, absent, forward, network, with_forwards

pytestmark = pytest.mark.pure

HOST = NetworkState(uplinks=(UplinkState("up0", forwarding=False, ours=False),))


def after(state: NetworkState, op: Op) -> NetworkState:  # noqa: C901
    """What a host that does exactly what `op` says looks like afterwards."""
    match op:
        case LoadSkeleton():
            return replace(state, skeleton=True)
        case CreateBridge() | SetBridge():
            return replace(state, bridge=_bridge(state.bridge, mac=op.mac, mtu=op.mtu))
        case SetSysctl():
            assert state.bridge
            kept = {pair for pair in state.bridge.sysctls if pair[0] != op.key}
            sysctls = frozenset(kept | {(op.key, op.value)})
            return replace(state, bridge=replace(state.bridge, sysctls=sysctls))
        case AddAddress():
            assert state.bridge
            addresses = state.bridge.addresses | {op.address}
            return replace(state, bridge=replace(state.bridge, addresses=addresses))
        case RemoveAddress():
            assert state.bridge
            addresses = state.bridge.addresses - {op.address}
            return replace(state, bridge=replace(state.bridge, addresses=addresses))
        case BringUp():
            assert state.bridge
            return replace(state, bridge=replace(state.bridge, up=True))
        case EnableForwarding():
            others = tuple(uplink for uplink in state.uplinks if uplink.name != op.interface)
            on = UplinkState(op.interface, forwarding=True, ours=True)
            return replace(state, uplinks=(*others, on))
        case EnableForwarding6():
            hearing = tuple(replace(uplink, deaf=False) for uplink in state.uplinks)
            return replace(state, uplinks=hearing, router6=True, router6_ours=True)
        case PassBridged():
            return replace(state, bridge_filter="off")
        case ChangeElements():
            kept_elements = state.elements - op.remove
            places = {element.place for element in kept_elements}
            assert not places & {element.place for element in op.add}
            assert op.remove <= state.elements
            return replace(state, elements=kept_elements | op.add)
        case EndFlows() | ForgetRefused():
            return state
        case AttachPort():
            return replace(state, loose_ports=state.loose_ports - {op.port})
        case WidenPort():
            return replace(state, narrow_ports=state.narrow_ports - {op.port})
        case WriteDhcp():
            names = {(file.folder, file.name) for file in op.files}
            kept_files = {f for f in state.dhcp_files if (f.folder, f.name) not in names}
            assert op.replaced == (len(kept_files) < len(state.dhcp_files))
            due = state.dhcp_reload_due or op.replaced
            files = frozenset(kept_files | op.files)
            return replace(state, dhcp_files=files, dhcp_reload_due=due)
        case RemoveDhcp():
            return replace(state, dhcp_files=state.dhcp_files - op.files, dhcp_reload_due=True)
        case StartDhcp():
            return replace(state, dhcp_running=True, dhcp_reload_due=False)
        case ReloadDhcp():
            assert state.dhcp_running
            return replace(state, dhcp_reload_due=False)
        case WriteZone():
            return replace(state, zone=op.text)
        case RemoveZone():
            return replace(state, zone=None)
        case StartNames():
            return replace(state, names_running=True)
        case DeleteBridge():
            return replace(state, bridge=None)
        case (
            StoreCertificates()
            | ChangeNames()
            | EndSessions()
            | WriteNames()
            | StartProxy()
            | StopProxy()
        ):
            return replace(state, proxy=_proxied(op, state.proxy))
        case MakeRouter() | LayCable() | LoadTranslation() | SetUpRouter() | DeleteRouter():
            raise AssertionError("no network here has a router of its own")
        case _:
            assert_never(op)


def _proxied(op: ProxyOp, proxy: ProxyState) -> ProxyState:
    match op:
        case StoreCertificates():
            return replace(proxy, stored=proxy.stored | {file for file, _ in op.files})
        case ChangeNames():
            assert op.remove <= proxy.live
            assert not op.add & proxy.live
            return replace(proxy, live=(proxy.live - op.remove) | op.add)
        case EndSessions():
            return proxy
        case WriteNames():
            kept = {route.pem for route in op.routes if route.table == "certificate"}
            return replace(proxy, written=op.routes, stored=proxy.stored & kept)
        case StartProxy():
            return replace(
                proxy, running=True, current=True, bound=op.addresses, live=proxy.written
            )
        case StopProxy():
            return replace(proxy, running=False, current=False, bound=frozenset(), live=frozenset())
        case _:
            assert_never(op)


def _bridge(bridge: BridgeState | None, *, mac: str, mtu: int) -> BridgeState:
    if bridge is not None:
        return replace(bridge, mac=mac, mtu=mtu, plain=True)
    return BridgeState(
        mac=mac,
        mtu=mtu,
        up=False,
        plain=True,
        addresses=frozenset(),
        sysctls=frozenset((key, f"not {value}") for key, value in BRIDGE_SYSCTLS),
    )


def applied(spec: NetworkSpec, state: NetworkState, ops: int | None = None) -> NetworkState:
    """The state after the first `ops` ops of the plan, all by default."""
    for op in plan(spec, state)[:ops]:
        state = after(state, op)
    return state


MACS = st.integers(0, 0xFFFF).map(lambda n: f"52:00:00:00:{n >> 8:02x}:{n & 255:02x}")
HOSTS = st.integers(2, 250)


@st.composite
def reservations(draw: st.DrawFn) -> tuple[ReservationSpec, ...]:
    hosts = draw(st.lists(HOSTS, unique=True, max_size=4))
    macs = draw(st.lists(MACS, unique=True, min_size=len(hosts), max_size=len(hosts)))
    return tuple(
        ReservationSpec(
            id=f"r{host}",
            mac=mac,
            address=f"10.61.0.{host}",
            hostname=f"h{host}",
            port=draw(st.sampled_from(["", f"kt{host}"])),
        )
        for host, mac in zip(hosts, macs, strict=True)
    )


LIMITS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "sources": st.lists(
            st.sampled_from(["198.51.100.1/32", "198.51.100.0/29", "10.0.0.0/8", f"{PUBLIC}/32"]),
            max_size=2,
        ).map(tuple),
        "rate": st.integers(1, 2),
        "burst": st.integers(1, 2),
        "connections": st.integers(1, 2),
    },
)


@st.composite
def forwards(draw: st.DrawFn) -> tuple[ForwardSpec, ...]:
    keys = draw(
        st.lists(
            st.tuples(
                st.sampled_from([PUBLIC, SECOND_PUBLIC]),
                st.sampled_from(["tcp", "udp", "all"]),
                st.integers(0, 3),
            ).map(lambda key: (*key[:2], 0 if key[1] == "all" else 8000 + 10 * key[2])),
            unique=True,
            max_size=5,
        )
    )
    limits = {number: draw(LIMITS) for number in range(1, 5)}
    return tuple(
        replace(
            ForwardSpec(
                id=f"f{number}",
                number=number,
                protocol=protocol,  # type: ignore[arg-type]
                public_address=address,
                public_port=port,
                address=f"10.61.0.{draw(HOSTS)}",
                port=draw(st.sampled_from([port, 7000])),
                ports=draw(st.sampled_from([1, 1, 2, 10])) if port else 1,
                source_nat=address == PUBLIC and draw(st.booleans()),
            ),
            **limits[number],
        )
        for address, protocol, port in keys
        for number in [draw(st.integers(1, 4))]
    )


@st.composite
def host_names(draw: st.DrawFn) -> tuple[HostNameSpec, ...]:
    places = st.tuples(
        st.sampled_from([PUBLIC, SECOND_PUBLIC]), st.sampled_from(["a.b", "*.b", "c.d"])
    )
    return tuple(
        HostNameSpec(
            id=f"n{number}",
            number=number,
            public_address=address,
            name=name,
            address=f"10.61.0.{draw(HOSTS)}",
            http_port=draw(st.sampled_from([0, 80])),
            tls=draw(st.sampled_from(["off", "passthrough", "terminate"])),
            tls_port=draw(st.sampled_from([443, 8443])),
            proxy_protocol=draw(st.booleans()),
            redirect=draw(st.booleans()),
            certificate=draw(st.sampled_from(["0a", "0b"])),
        )
        for number, (address, name) in enumerate(draw(st.lists(places, unique=True, max_size=3)))
    )


LISTS = (
    (EgressSpec(cidr="198.51.100.0/24"),),
    (
        EgressSpec(cidr="198.51.0.0/16", protocol="tcp", first_port=80, last_port=443),
        EgressSpec(cidr="198.51.100.1/32", protocol="tcp", first_port=443, last_port=444),
        EgressSpec(cidr="0.0.0.0/0", protocol="icmp"),
    ),
)


@st.composite
def specs(draw: st.DrawFn) -> NetworkSpec:
    prefix = draw(st.sampled_from([24, 25]))
    return replace(
        network(1),
        subnet=f"10.61.0.0/{prefix}",
        mode=draw(st.sampled_from(["nat", "routed", "isolated"])),
        source_pool=draw(st.sampled_from([(), (PUBLIC,), (PUBLIC, SECOND_PUBLIC)])),
        egress=draw(st.sampled_from([None, (), *LISTS])),
        peers=draw(st.sampled_from([(), (PeerSpec(bridge="kw2", subnet="10.62.0.0/24"),)])),
        guests_apart=draw(st.booleans()),
        logs=draw(st.booleans()),
        host_names=draw(host_names()),
        source_address=draw(st.sampled_from([None, PUBLIC, SECOND_PUBLIC])),
        mtu=draw(st.sampled_from([1500, 1400])),
        names=draw(st.sampled_from([None, NamesSpec(domain="a"), NamesSpec(domain="b")])),
        present=draw(st.sampled_from([True, True, True, False])),
        reservations=draw(reservations()),
        forwards=draw(forwards()),
    )


@st.composite
def hosts(draw: st.DrawFn) -> NetworkState:
    filters: list[BridgeFilter] = ["off", "on", "shared"]
    return replace(
        HOST,
        router=draw(st.booleans()),
        bridge_filter=draw(st.sampled_from(filters)),
        resolvers=draw(st.sampled_from([(), ("9.9.9.9",)])),
        loose_ports=draw(st.sampled_from([frozenset(), frozenset({"kt7"})])),
    )


@given(specs(), specs(), hosts())
def test_after_a_whole_plan_nothing_is_left_to_do(
    before: NetworkSpec, wanted: NetworkSpec, host: NetworkState
) -> None:
    state = applied(wanted, applied(before, host))
    if not wanted.present:
        state = replace(state, dhcp_reload_due=False)
    assert plan(wanted, state) == ()


@given(specs(), specs(), hosts(), st.integers(0, 12))
def test_a_plan_that_stopped_anywhere_is_finished_by_the_next(
    before: NetworkSpec, wanted: NetworkSpec, host: NetworkState, ops: int
) -> None:
    stopped = applied(wanted, applied(before, host), ops)
    finished = applied(wanted, stopped)
    assert finished == replace(
        applied(wanted, applied(before, host)), dhcp_reload_due=finished.dhcp_reload_due
    )


@given(specs(), specs(), hosts(), st.integers(0, 12))
def test_connections_of_what_went_are_ended_whatever_stopped_the_plan(
    before: NetworkSpec, wanted: NetworkSpec, host: NetworkState, ops: int
) -> None:
    """Every number whose port went or moved is in an `EndFlows`, now or after the crash."""
    start = applied(before, host)
    first = plan(wanted, start)[:ops]
    second = plan(wanted, applied(wanted, start, ops))
    ended = {n for op in (*first, *second) if isinstance(op, EndFlows) for n in op.numbers}
    assert _numbers_gone(start.elements, elements(wanted)) <= ended


@given(specs(), specs(), hosts(), st.integers(0, 12))
def test_connections_from_addresses_that_lost_a_forward_are_ended_whatever_stopped_the_plan(
    before: NetworkSpec, wanted: NetworkSpec, host: NetworkState, ops: int
) -> None:
    start = applied(before, host)
    first = plan(wanted, start)[:ops]
    second = plan(wanted, applied(wanted, start, ops))
    ends = [op for op in (*first, *second) if isinstance(op, EndFlows)]
    ended = {n for op in ends for n in op.numbers}
    ended |= {allowed.number for op in ends for allowed in op.narrowed}
    assert _numbers_narrowed(start.elements, elements(wanted)) <= ended


def _numbers_narrowed(old: frozenset[Element], new: frozenset[Element]) -> set[str | int]:
    """Those in both that stay or become restricted, and lose an address they had."""
    still = _numbers(old, "acct_in") & _numbers(new, "restricted")
    names = set(SOURCE_SETS.values())
    lost = {element.key[0] for element in old - new if element.name in names}
    return (lost | (still - _numbers(old, "restricted"))) & still


def _numbers(all_of: frozenset[Element], name: str) -> set[str | int]:
    return {element.key[0] for element in all_of if element.name == name}


def _numbers_gone(old: frozenset[Element], new: frozenset[Element]) -> set[str | int]:
    known = {(e.name, e.key): e.value[0] for e in old if e.name in DOORS.values()}
    gone = {(DOORS[element.name], element.key) for element in old - new if element.name in DOORS}
    return {known[place] for place in gone}


@given(specs(), hosts())
def test_elements_of_other_networks_are_never_touched(
    spec: NetworkSpec, host: NetworkState
) -> None:
    for op in plan(spec, host):
        if isinstance(op, ChangeElements):
            assert {element.owner for element in op.add | op.remove} <= {spec.bridge, ""}


@given(specs())
def test_no_two_forwards_share_a_key(spec: NetworkSpec) -> None:
    places = [element.place for element in elements(spec)]
    assert len(places) == len(set(places))


def test_rules_come_first_and_addresses_for_guests_last() -> None:
    spec = network()
    kinds = [
        type(op) for op in plan(with_forwards(spec, forward(1, 1, spec.reservations[0])), HOST)
    ]
    assert kinds[:2] == [LoadSkeleton, CreateBridge]
    assert kinds.index(ChangeElements) < kinds.index(EnableForwarding) < kinds.index(WriteDhcp)
    assert kinds[-1] == StartDhcp


def test_on_the_way_out_elements_go_first_then_connections_then_links() -> None:
    spec = network()
    spec = with_forwards(spec, forward(1, 1, spec.reservations[0]))
    kinds = [type(op) for op in plan(absent(spec), applied(spec, HOST))]
    assert kinds == [ChangeElements, EndFlows, ChangeElements, RemoveDhcp, ReloadDhcp, DeleteBridge]


def test_a_new_forward_ends_no_connection_of_another() -> None:
    spec = network()
    one, two = (forward(1, n, spec.reservations[0], public_port=8000 + n) for n in (1, 2))
    ops = plan(with_forwards(spec, one, two), applied(with_forwards(spec, one), HOST))
    assert [type(op) for op in ops] == [ChangeElements, ChangeElements]
    assert {e.name for e in ops[1].add} == {"acct_in", "acct_out"}  # type: ignore[union-attr]


def test_narrowing_a_forward_ends_connections_from_elsewhere_alone() -> None:
    spec = network()
    one = forward(1, 1, spec.reservations[0])
    some = replace(one, sources=("198.51.100.0/29", "198.51.100.64/26"))
    fewer = replace(one, sources=("198.51.100.0/29",))
    for before, after_it in ((one, some), (some, fewer)):
        ops = plan(with_forwards(spec, after_it), applied(with_forwards(spec, before), HOST))
        assert ops[1] == EndFlows(narrowed=frozenset({Allowed(101, frozenset(after_it.sources))}))
        assert {e.name for e in ops[2].add} == {"sifted"}  # type: ignore[union-attr]
    for before, after_it in ((fewer, some), (some, one), (one, replace(one, rate=3))):
        ops = plan(with_forwards(spec, after_it), applied(with_forwards(spec, before), HOST))
        assert EndFlows not in [type(op) for op in ops]


def test_an_uplink_is_closed_only_while_it_forwards_because_of_us() -> None:
    spec = network()
    for state, closed in (
        (HOST, True),
        (replace(HOST, router=True), False),
        (replace(HOST, uplinks=(UplinkState("up0", forwarding=True, ours=False),)), False),
        (replace(HOST, uplinks=(UplinkState("up0", forwarding=True, ours=True),)), True),
    ):
        found = applied(spec, state).elements
        assert (Element("inet", "closed", ("up0",)) in found) == closed


def test_strays_put_into_our_tables_by_hand_are_removed() -> None:
    spec = network()
    state = applied(spec, HOST)
    stray = Element("inet", "egress", ("kw9",))
    ops = plan(spec, replace(state, elements=state.elements | {stray}))
    assert ops == (ChangeElements(add=frozenset(), remove=frozenset({stray})),)
