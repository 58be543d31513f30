"""What people ask of the firewall of guests: rule sets, address sets, and what they apply to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Prefetch

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit, project_for
from kvmweb.projects.models import Project
from networks import bridged
from networks.actions.lookup import locked, named, refuse_parked, still_present
from networks.inbound import PROTOCOLS, RuleText, parse_networks, parse_ports
from networks.limits import MOST_OPENINGS, MOST_RULES
from networks.models import AddressSet, Network, Reservation, Rule, RuleSet

S = TypeVar("S", AddressSet, RuleSet)


def create_address_set(
    actor: Actor, *, name: str, networks: Iterable[str], project: UUID | str | None = None
) -> AddressSet:
    """Addresses and networks under a name."""
    with transaction.atomic():
        owner = lock(Project.objects.all()).get(pk=project_for(actor, project).pk)
        made = AddressSet.objects.create(
            project=owner,
            name=_free_name(AddressSet, owner, name),
            networks=parse_networks(networks, field="networks"),
        )
        audit(actor, "address-set.create", made, project=owner, networks=made.networks)
    return made


def change_address_set(
    actor: Actor,
    uuid: UUID | str,
    *,
    name: str | None = None,
    networks: Iterable[str] | None = None,
) -> AddressSet:
    """Rename it, or let it hold other addresses: the guests of every rule that names it follow."""
    with transaction.atomic():
        changed = _locked_set(actor, AddressSet, uuid)
        before = changed.networks
        if name is not None:
            changed.name = _free_name(AddressSet, changed.project, name, but=changed)
        if networks is not None:
            changed.networks = parse_networks(networks, field="networks")
        changed.save()
        if changed.networks != before:
            using = RuleSet.objects.filter(rules__address_set=changed).distinct()
            _bring_to_hosts(actor, using, f"Change addresses {changed}", "networks")
        audit(actor, "address-set.change", changed, project=changed.project, before=before)
    return changed


def delete_address_set(actor: Actor, uuid: UUID | str) -> AddressSet:
    """Remove addresses that no rule names."""
    with transaction.atomic():
        gone = _locked_set(actor, AddressSet, uuid)
        if using := RuleSet.objects.filter(rules__address_set=gone).distinct().first():
            raise Conflict(
                f"Rule set “{using}” names “{gone}”.",
                code="address_set_in_use",
                remedy="Change that rule first.",
            )
        audit(actor, "address-set.delete", gone, project=gone.project, networks=gone.networks)
        gone.delete()
    return gone


def create_rule_set(
    actor: Actor, *, name: str, rules: Sequence[RuleText] = (), project: UUID | str | None = None
) -> RuleSet:
    """Rules under a name; they open nothing until they are applied."""
    with transaction.atomic():
        owner = lock(Project.objects.all()).get(pk=project_for(actor, project).pk)
        made = RuleSet.objects.create(project=owner, name=_free_name(RuleSet, owner, name))
        _write_rules(made, rules)
        audit(actor, "rule-set.create", made, project=owner, rules=len(rules))
    return made


def change_rule_set(
    actor: Actor,
    uuid: UUID | str,
    *,
    name: str | None = None,
    rules: Sequence[RuleText] | None = None,
) -> RuleSet:
    """Rename it, or give it other rules in place of all it has: its guests follow at once."""
    with transaction.atomic():
        changed = _locked_set(actor, RuleSet, uuid)
        if name is not None:
            changed.name = _free_name(RuleSet, changed.project, name, but=changed)
            changed.save(update_fields=["name"])
        before = [str(rule) for rule in changed.rules.all()]
        if rules is not None:
            changed.rules.all().delete()
            _write_rules(changed, rules)
            itself = RuleSet.objects.filter(pk=changed.pk)
            _bring_to_hosts(actor, itself, f"Change rules {changed}", "rules")
        after = [str(rule) for rule in changed.rules.all()]
        audit(
            actor, "rule-set.change", changed, project=changed.project, before=before, after=after
        )
    return changed


def delete_rule_set(actor: Actor, uuid: UUID | str) -> RuleSet:
    """Remove a rule set that is applied to nothing."""
    with transaction.atomic():
        gone = _locked_set(actor, RuleSet, uuid)
        if (using := gone.affected().first()) is not None:
            raise Conflict(
                f"“{gone}” is applied in network “{using}”.",
                code="rule_set_in_use",
                remedy="Take it off there first.",
            )
        audit(actor, "rule-set.delete", gone, project=gone.project)
        gone.delete()
    return gone


def apply_to_network(actor: Actor, uuid: UUID | str, *, rule_sets: Sequence[UUID | str]) -> Network:
    """Open every guest of a network to exactly these rule sets, beside each guest's own."""
    with transaction.atomic():
        _lock_project(actor, get_for(actor.user, Network, uuid, write=True).project)
        network = locked(actor, uuid)
        bridged.refuse_unfiltered(network, "rule_sets")
        chosen = _chosen(actor, network.project, rule_sets)
        network.rule_sets.set(chosen)
        _refuse_too_many(network, "rule_sets")
        job = request(actor, network, f"Change the firewall of network {network}")
        names = [str(each) for each in chosen]
        audit(actor, "network.firewall", network, project=network.project, job=job.uuid, sets=names)
    return network


def apply_to_reservation(
    actor: Actor, uuid: UUID | str, *, rule_sets: Sequence[UUID | str]
) -> Reservation:
    """Open one guest to exactly these rule sets, beside its network's."""
    with transaction.atomic():
        found = get_for(actor.user, Reservation, uuid, write=True)
        _lock_project(actor, found.network.project)
        network = locked(actor, found.network.uuid)
        bridged.refuse_unfiltered(network, "rule_sets")
        reservation = still_present(found)
        refuse_parked(reservation)
        chosen = _chosen(actor, network.project, rule_sets)
        reservation.rule_sets.set(chosen)
        _refuse_too_many(network, "rule_sets")
        reservation.since = network.generation + 1
        reservation.save(update_fields=["since"])
        job = request(actor, network, f"Change the firewall of {reservation.name}")
        names = [str(each) for each in chosen]
        audit(
            actor,
            "reservation.firewall",
            reservation,
            project=network.project,
            job=job.uuid,
            sets=names,
        )
    return reservation


def _lock_project(actor: Actor, project: Project) -> Project:
    return lock(Project.objects.all()).get(pk=project_for(actor, project.uuid).pk)


def _locked_set(actor: Actor, model: type[S], uuid: UUID | str) -> S:
    """The set while its project's lock is held, which every change of sets takes first."""
    found = get_for(actor.user, model, uuid, write=True)
    _lock_project(actor, found.project)
    return get_for(actor.user, model, uuid, write=True, lock=True)


def _free_name(model: type[S], project: Project, text: str, *, but: S | None = None) -> str:
    label = parse_label(text)
    others = model._default_manager.filter(project=project, name=label)
    if others.exclude(pk=but.pk if but else 0).exists():
        raise Conflict(f"There is a “{label}” in this project.", field="name", code="name_taken")
    return label


def _chosen(actor: Actor, project: Project, uuids: Sequence[UUID | str]) -> list[RuleSet]:
    chosen = [named(actor, RuleSet, uuid, "rule_sets") for uuid in dict.fromkeys(map(str, uuids))]
    if foreign := next((each for each in chosen if each.project_id != project.pk), None):
        raise Invalid(f"“{foreign}” belongs to another project.", field="rule_sets")
    return chosen


def _write_rules(rule_set: RuleSet, rules: Sequence[RuleText]) -> None:
    if len(rules) > MOST_RULES:
        raise Invalid(f"A rule set has at most {MOST_RULES} rules.", field="rules")
    known = {str(each.uuid): each for each in rule_set.project.address_sets.all()}
    rows = []
    for number, rule in enumerate(rules):
        try:
            rows.append(_row(rule_set, rule, known))
        except Invalid as error:
            error.field = f"rules.{number}.{error.field}"
            raise
    Rule.objects.bulk_create(rows)


def _row(rule_set: RuleSet, rule: RuleText, known: dict[str, AddressSet]) -> Rule:
    if rule.protocol not in PROTOCOLS:
        raise Invalid(f"Use one of: {', '.join(PROTOCOLS)}.", field="protocol")
    if rule.address_set and rule.address_set not in known:
        raise Invalid("There is no such address set in this project.", field="address_set")
    if rule.address_set and rule.sources:
        raise Invalid("Name either sources or an address set.", field="sources")
    span = parse_ports(rule.protocol, rule.ports)
    return Rule(
        rule_set=rule_set,
        protocol=rule.protocol,
        first_port=span[0] if span else None,
        last_port=span[1] if span else None,
        sources=parse_networks(rule.sources, field="sources"),
        address_set=known.get(rule.address_set or ""),
        note=rule.note[:200],
    )


def _bring_to_hosts(actor: Actor, rule_sets: Iterable[RuleSet], title: str, field: str) -> None:
    """A job for each network with a guest that these open, locked in the order of their ids.
    `field` is what was changed."""
    wanted = {network.pk for rule_set in rule_sets for network in rule_set.affected()}
    for network in lock(Network.objects.all()).filter(pk__in=wanted).order_by("pk"):
        if network.present:
            _refuse_too_many(network, field)
            request(actor, network, title)


def _refuse_too_many(network: Network, field: str) -> None:
    """Raise if a guest would be opened to more than a host can hold for each of many."""
    rows = network.reservations.filter(present=True, rule_sets__isnull=False).distinct()
    single = rows.prefetch_related(Prefetch("rule_sets", RuleSet.objects.with_rules()))
    most = max((_openings(each.rule_sets.all()) for each in single), default=0)
    count = _openings(network.rule_sets.with_rules()) + most
    if count > MOST_OPENINGS:
        raise Conflict(
            f"A guest of network “{network}” would have {count} openings, and at most"
            f" {MOST_OPENINGS} are possible.",
            field=field,
            code="too_many_openings",
            remedy="Join neighbouring addresses into networks, or apply fewer rule sets.",
        )


def _openings(rule_sets: Iterable[RuleSet]) -> int:
    """How many pairs of a rule and a source there are."""
    return sum(len(rule.admitted) for rule_set in rule_sets for rule in rule_set.rules.all())
