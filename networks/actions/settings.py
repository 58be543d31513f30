"""Changing a network that guests may be running on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

from django.db import transaction

from kvmweb.core import ipv6
from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.pretend import confirm_first
from kvmweb.projects.actions import Actor, audit
from kvmweb.projects.models import Project
from networks import bridged, whole
from networks.actions.lookup import locked
from networks.actions.own_router import refuse_routed
from networks.models import EgressRule, Network, PoolAddress
from networks.network_settings import LARGEST_MTU, SMALLEST_MTU, Settings, cut_off
from networks.ways import Rule, read_rules


def change_network(
    actor: Actor,
    uuid: UUID | str,
    *,
    name: str | None = None,
    mode: str | None = None,
    mtu: int | None = None,
    source_addresses: Sequence[str] | None = None,
    guests_apart: bool | None = None,
    guarded: bool | None = None,
    logs_refused: bool | None = None,
    egress: str | None = None,
    egress_rules: Sequence[Rule | Mapping[str, str]] | None = None,
    confirm: bool = False,
) -> Network:
    """Change what is not None. What running guests would lose has to be confirmed."""
    with transaction.atomic():
        found = get_for(actor.user, Network, uuid, write=True)
        if name is not None:
            lock(Project.objects.all()).get(pk=found.project_id)
        if source_addresses:
            list(lock(PublicAddress.objects.all()).filter(host=found.host_id))
        network = locked(actor, uuid)
        before = settings_of(network)
        kind = before.mode if mode is None else parse_mode(mode)
        after = Settings(
            name=before.name if name is None else parse_label(name),
            mode=kind,
            mtu=before.mtu if mtu is None else parse_mtu(mtu),
            sources=parse_sources(network.host, kind, before, source_addresses),
            guests_apart=before.guests_apart if guests_apart is None else guests_apart,
            guarded=before.guarded if guarded is None else guarded,
            logs_refused=before.logs_refused if logs_refused is None else logs_refused,
            rules=_rules(before, egress, egress_rules),
        )
        if after == before:
            return network
        refuse_for_bridged(network, before, after)
        _refuse(network, before, after)
        if not confirm:
            _ask_first(network, before, after)
        apply_settings(network, after)
        job = request(actor, network, _title(before, after))
        differ = _differences(before, after)
        audit(actor, "network.change", network, project=network.project, job=job.uuid, **differ)
    return network


def settings_of(network: Network) -> Settings:
    """The network's settings as they are."""
    rules = tuple(
        Rule(rule.cidr, rule.protocol, rule.ports) for rule in network.egress_rules.order_by("pk")
    )
    return Settings(
        name=network.name,
        mode=network.mode,
        mtu=network.mtu,
        sources=frozenset(network.sources),
        guests_apart=network.guests_apart,
        guarded=network.guarded,
        logs_refused=network.logs_refused,
        rules=rules if network.egress == Network.Egress.LISTED else None,
    )


def apply_settings(network: Network, settings: Settings) -> None:
    """Write settings to the rows of a network, for an action that asks for its job itself."""
    addresses = PublicAddress.objects.filter(host=network.host_id, address__in=settings.sources)
    chosen = sorted(addresses, key=lambda each: IPv4Address(each.address))
    network.name, network.mode, network.mtu = settings.name, settings.mode, settings.mtu
    network.guests_apart = settings.guests_apart
    network.guarded = settings.guarded
    network.logs_refused = settings.logs_refused
    network.source_address = chosen[0] if chosen else None
    listed = settings.rules is not None
    network.egress = Network.Egress.LISTED if listed else Network.Egress.ALLOWED
    network.save()
    network.pool.all().delete()
    network.egress_rules.all().delete()
    if len(chosen) > 1:
        pool = [PoolAddress(network=network, public_address=address) for address in chosen]
        PoolAddress.objects.bulk_create(pool)
    EgressRule.objects.bulk_create(_row(network, rule) for rule in settings.rules or ())


def parse_mode(text: str) -> str:
    """A mode, or Invalid with those there are."""
    if text not in Network.Mode.values:
        modes = ", ".join(Network.Mode.values)
        raise Invalid(f"There is no such mode. Use one of: {modes}.", field="mode")
    return text


def parse_mtu(number: int) -> int:
    """The largest packet of a network, or Invalid."""
    if not SMALLEST_MTU <= number <= LARGEST_MTU:
        raise Invalid(f"An MTU is a number from {SMALLEST_MTU} to {LARGEST_MTU}.", field="mtu")
    return number


def parse_sources(
    host: Host, mode: str, before: Settings | None, wanted: Sequence[str] | None
) -> frozenset[str]:
    """The public addresses a network of `mode` goes out by; the host's default one where nobody
    said anything."""
    if mode != Network.Mode.NAT:
        if wanted:
            raise Invalid(
                "Only a NAT network is seen outside with public addresses of its host.",
                field="source_addresses",
                remedy="Leave it empty, or choose the mode nat.",
            )
        return frozenset()
    if wanted is None:
        if before is not None and before.mode == Network.Mode.NAT:
            return before.sources
        default = host.public_addresses.filter(is_default=True).values_list("address", flat=True)
        return frozenset(default)
    rows = host.public_addresses.exclude(address__contains=":")
    known = set(rows.values_list("address", flat=True))
    if unknown := sorted(set(wanted) - known):
        raise Invalid(
            f"The host of this network has no public address {unknown[0]}.",
            field="source_addresses",
            code="no_such_address",
        )
    for address in lock(PublicAddress.objects.all()).filter(host=host, address__in=wanted):
        whole.refuse_as_source(address, "source_addresses")
    return frozenset(wanted)


def _rules(
    before: Settings, egress: str | None, rules: Sequence[Rule | Mapping[str, str]] | None
) -> tuple[Rule, ...] | None:
    if egress is not None and egress not in Network.Egress.values:
        raise Invalid("Use allowed or listed.", field="egress")
    if egress == Network.Egress.ALLOWED:
        return None
    if rules is not None:
        return read_rules([rule if isinstance(rule, Mapping) else _as_row(rule) for rule in rules])
    return before.rules if egress is None else before.rules or ()


def _as_row(rule: Rule) -> dict[str, str]:
    return {"cidr": rule.cidr, "protocol": rule.protocol, "ports": rule.ports}


def refuse_for_bridged(network: Network, before: Settings, after: Settings) -> None:
    """Raise for what cannot be changed of a bridged network, or only of one."""
    if before.mode != after.mode and Network.Mode.BRIDGED in (before.mode, after.mode):
        raise Conflict(
            f"Network “{network}” is {before.mode}, and a network is bridged from the beginning or"
            " never: its guests would lose their addresses.",
            field="mode",
            code="mode_is_fixed",
            remedy="Make another network, and new VMs there.",
        )
    outside = "What leaves by the host's own interface is not ours to"
    if after.rules is not None:
        bridged.refuse(network, "egress", f"{outside} list", "Filter it where it is routed.")
    if after.mtu != before.mtu:
        bridged.refuse(network, "mtu", "Its guests have the MTU of the interface they are on")
    if after.guarded != before.guarded and not network.is_bridged:
        raise Conflict(
            f"Network “{network}” is not bridged: from outside, its guests are closed as it is.",
            field="guarded",
            code="not_bridged",
        )
    if after.guarded and not before.guarded:
        bridged.refuse_unfiltered(network, "guarded")
    if after.guests_apart and not before.guests_apart:
        bridged.refuse_unfiltered(network, "guests_apart")
    if after.logs_refused and not before.logs_refused:
        bridged.refuse_unfiltered(network, "logs_refused")


def _refuse(network: Network, before: Settings, after: Settings) -> None:
    if network.ipv6_subnet and after.mtu < ipv6.SMALLEST_MTU:
        raise Conflict(
            f"The network has IPv6, which needs an MTU of {ipv6.SMALLEST_MTU} or more.",
            field="mtu",
            code="mtu_too_small",
            remedy="Choose a larger MTU, or take IPv6 from the network first.",
        )
    others = Network.objects.filter(project=network.project_id, name=after.name, present=True)
    if before.name != after.name and others.exclude(pk=network.pk).exists():
        raise Conflict(
            f"There is a network “{after.name}” in this project.", field="name", code="name_taken"
        )
    if after.mode == before.mode:
        return
    if network.own_router:
        refuse_routed(after.mode, "mode")
    own = network.forwards.filter(present=True, source_nat=True)
    if after.mode != Network.Mode.NAT and own.exists():
        raise Conflict(
            f"Guests of network “{network}” leave by the public address of their forward, which"
            " only a NAT network does.",
            field="mode",
            code="network_forwards",
            remedy="Delete those forwards, or let their guests leave like all others.",
        )
    if after.mode != Network.Mode.ISOLATED:
        return
    if count := network.forwards.filter(present=True).count():
        raise Conflict(
            f"{count} forward{'s' if count > 1 else ''} lead into network “{network}”,"
            " and nothing reaches an isolated network from outside.",
            field="mode",
            code="network_forwards",
            remedy="Delete its forwards first.",
        )
    if name := network.hostnames.filter(present=True).first():
        raise Conflict(
            f"The host name {name.name} leads into network “{network}”,"
            " and nothing reaches an isolated network from outside.",
            field="mode",
            code="network_host_names",
            remedy="Delete its host names first.",
        )


def running_guests(network: Network) -> int:
    """How many VMs run on the network, as their host said last."""
    return network.reservations.filter(present=True, nic__vm__power_state="running").count()


def _ask_first(network: Network, before: Settings, after: Settings) -> None:
    lost, running = cut_off(before, after), running_guests(network)
    if lost and running:
        vms = "1 VM runs" if running == 1 else f"{running} VMs run"
        confirm_first(network, f"{vms} on this network. {' '.join(lost)}")


def _title(before: Settings, after: Settings) -> str:
    if replace(before, name=after.name) == after:
        return f"Rename network {before.name} to {after.name}"
    return f"Change network {after.name}"


def _differences(before: Settings, after: Settings) -> dict[str, Any]:
    """Every setting that differs, as it was and as it is, in plain values for the audit."""
    names = ("name", "mode", "mtu", "sources", "guests_apart", "guarded", "logs_refused", "rules")
    return {
        name: [_plain(getattr(before, name)), _plain(getattr(after, name))]
        for name in names
        if getattr(before, name) != getattr(after, name)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return [str(rule) for rule in value] if isinstance(value, tuple) else value


def _row(network: Network, rule: Rule) -> EgressRule:
    first, last = rule.range
    return EgressRule(
        network=network,
        cidr=rule.cidr,
        protocol=rule.protocol,
        first_port=first,
        last_port=last,
    )
