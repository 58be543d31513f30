"""Rows of one network -> the spec for its host; and what the host answered -> rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from django.conf import settings
from django.db.models import Prefetch

from kvmweb.core import names
from kvmweb.host.progress import Outcome
from kvmweb.jobs.subjects import Destination, SubjectKind
from networks import certificates, drift, history
from networks.host.spec import (
    EgressSpec,
    ForwardSpec,
    HostNameSpec,
    InboundSpec,
    NamesSpec,
    NetworkSpec,
    PeerSpec,
    Protocol,
    ReservationSpec,
)
from networks.models import Certificate, Forward, Network, Peering, RuleSet


def destination(network: Network) -> Destination:
    return Destination(network.host.name, network.host.key)


def build_spec(network: Network) -> dict[str, Any]:
    """The newest generation of this network as data."""
    source = network.source_address
    spec = NetworkSpec(
        subject=str(network.uuid),
        epoch=settings.KVMWEB_EPOCH,
        generation=network.generation,
        present=network.present,
        repairs=network.host.repairs,
        logs=network.logs_refused,
        name=network.name,
        mode=network.mode,  # type: ignore[arg-type]
        bridge=network.bridge,
        bridge_mac=names.bridge_mac(network.pk),
        subnet=network.ipv4_subnet,
        transit=network.transit_subnet,
        gateway=str(network.gateway) if network.ipv4_subnet else "",
        attach=network.attachment.interface if network.attachment else "",
        attached_to=network.attachment.kind if network.attachment else "bridge",  # type: ignore[arg-type]
        guarded=network.guarded,
        source_address=source.address if source else None,
        inbound=tuple(_inbound(network.rule_sets.with_rules())) if network.present else (),
        source_pool=tuple(network.sources) if network.pool.exists() else (),
        egress=_egress(network),
        guests_apart=network.guests_apart,
        peers=_peers(network) if network.present else (),
        mtu=network.mtu,
        ipv6=network.ipv6,  # type: ignore[arg-type]
        subnet6=network.ipv6_subnet,
        gateway6=network.gateway6,
        source_address6=network.source_address6.address if network.source_address6 else None,
        names=_names(network),
        max_down=network.max_down,
        max_up=network.max_up,
        lease_seconds=60 * network.lease_minutes,
        reservations=tuple(_reservations(network)) if network.present else (),
        forwards=tuple(_forwards(network)) if network.present else (),
        host_names=tuple(_host_names(network)) if network.present else (),
    )
    return msgspec.to_builtins(spec)  # type: ignore[no-any-return]


def _names(network: Network) -> NamesSpec | None:
    if network.is_bridged:
        return None
    return NamesSpec(domain=network.domain, upstreams=tuple(network.dns_servers))


def _peers(network: Network) -> tuple[PeerSpec, ...]:
    """The halves that are the network's own: what it asked for, and what it accepted."""
    rows = Peering.objects.of(network).filter(present=True).select_related("network", "peer")
    agreed = [row for row in rows if row.accepted or row.network_id == network.pk]
    others = sorted((row.other(network) for row in agreed), key=lambda other: other.pk)
    return tuple(
        PeerSpec(bridge=other.bridge, subnet=other.ipv4_subnet, subnet6=other.ipv6_subnet)
        for other in others
    )


def _egress(network: Network) -> tuple[EgressSpec, ...] | None:
    if network.egress == Network.Egress.ALLOWED:
        return None
    return tuple(
        EgressSpec(
            cidr=rule.cidr,
            protocol=rule.protocol,  # type: ignore[arg-type]
            first_port=rule.first_port,
            last_port=rule.last_port,
        )
        for rule in network.egress_rules.order_by("pk")
    )


def _reservations(network: Network) -> list[ReservationSpec]:
    rows = network.reservations.filter(present=True).order_by("pk").prefetch_related(_rule_sets())
    return [
        ReservationSpec(
            id=str(row.uuid),
            mac=row.mac,
            address=row.address or "",
            address6=network.address6_of(row.mac),
            hostname=row.name,
            port=row.port,
            inbound=tuple(_inbound(row.rule_sets.all())),
            max_down=row.max_down,
            max_up=row.max_up,
        )
        for row in rows
    ]


def _rule_sets() -> Prefetch[str]:
    return Prefetch("rule_sets", RuleSet.objects.with_rules())


def _inbound(rule_sets: Iterable[RuleSet]) -> Iterator[InboundSpec]:
    """What these rule sets open, in the order of their rules."""
    for rule_set in rule_sets:
        for rule in rule_set.rules.all():
            first, last = rule.span or (0, 0)
            for cidr in rule.admitted:
                yield InboundSpec(
                    cidr=cidr,
                    protocol=rule.protocol,  # type: ignore[arg-type]
                    first_port=first,
                    last_port=last,
                )


def _forwards(network: Network) -> list[ForwardSpec]:
    """A paused forward is not there for the host, nor one to a parked guest."""
    rows = network.forwards.filter(present=True, paused=False, reservation__parked=False)
    rows = rows.select_related("reservation", "public_address", "network")
    return [_forward(row, protocol) for row in rows.order_by("pk") for protocol in row.protocols]


def _forward(row: Forward, protocol: str) -> ForwardSpec:
    return ForwardSpec(
        id=str(row.uuid),
        number=row.number,
        protocol=_PROTOCOLS[protocol],
        public_address=row.public_address.address,
        public_port=row.public_port,
        address=row.target_address,
        port=row.target_port,
        ports=row.ports,
        source_nat=row.source_nat,
        sources=tuple(row.sources),
        rate=row.max_rate or 0,
        burst=row.max_burst or 0,
        connections=row.max_connections or 0,
    )


def _host_names(network: Network) -> list[HostNameSpec]:
    """Those that are served, as with forwards."""
    rows = network.hostnames.filter(present=True, paused=False, reservation__parked=False)
    rows = rows.select_related("reservation", "public_address", "certificate")
    return [
        HostNameSpec(
            id=str(row.uuid),
            number=row.number,
            public_address=row.public_address.address,
            name=row.name,
            address=row.target_address,
            http_port=row.http_port or 0,
            tls=row.tls,  # type: ignore[arg-type]
            tls_port=row.tls_port or 0,
            proxy_protocol=row.proxy_protocol,
            reencrypt=row.reencrypt,
            redirect=row.redirect,
            **_certificate(row.own_certificate, network.host.key),
        )
        for row in rows.order_by("pk")
    ]


def _certificate(row: Certificate | None, host_key: str) -> dict[str, str]:
    if row is None:
        return {}
    return {
        "certificate": row.fingerprint[:32],
        "sealed_pem": certificates.for_host(row.chain, row.concealed_key, host_key),
    }


_PROTOCOLS: dict[str, Protocol] = {"tcp": "tcp", "udp": "udp", "all": "all"}


def record(network: Network, outcome: Outcome) -> None:
    """Note what the host applied; rows that were only waiting to disappear from it go now."""
    if not network.present and outcome.generation >= network.generation:
        history.gone(network)
        network.delete()
        return
    network.applied_generation = max(network.applied_generation, outcome.generation)
    network.attention = outcome.attention
    network.save(update_fields=["applied_generation", "attention"])
    drift.end(network)
    if outcome.generation >= network.generation:
        history.goes_out(network, network.sources)
    gone = {"present": False, "since__lte": outcome.generation}
    history.ended(network.forwards.filter(**gone))
    network.forwards.filter(**gone).delete()
    history.no_longer_named(network.hostnames.filter(**gone))
    network.hostnames.filter(**gone).delete()
    network.reservations.filter(**gone).delete()
    network.asked_for.filter(**gone).delete()


KIND = SubjectKind(
    model=Network,
    worker="net",
    task="networks.apply",
    destination=destination,
    build_spec=build_spec,
    record=record,
)
