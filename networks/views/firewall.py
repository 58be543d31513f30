"""The firewall of guests: rule sets, address sets, and what they are applied to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.core.access import get_for
from kvmweb.core.errors import KvmwebError
from kvmweb.projects.models import Project
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.requests import actor_of, current_project, may_write, user_of, writable_projects
from networks import actions, bridged
from networks.forms.firewall import (
    AddressSetForm,
    AppliedForm,
    NewAddressSetForm,
    NewSetForm,
    RenameSetForm,
    RuleForm,
)
from networks.inbound import RuleText
from networks.models import AddressSet, Network, Reservation, Rule, RuleSet

GET_OR_POST = require_http_methods(["GET", "POST"])


def firewall(request: HttpRequest) -> HttpResponse:
    rule_sets = RuleSet.objects.visible_to(user_of(request)).for_display()
    address_sets = AddressSet.objects.visible_to(user_of(request)).for_display()
    if project := current_project(request):
        rule_sets, address_sets = (
            rule_sets.filter(project=project),
            address_sets.filter(project=project),
        )
    context = {"rule_sets": rule_sets, "address_sets": address_sets}
    return render(request, "firewall/firewall.html", context)


@GET_OR_POST
def rule_set_new(request: HttpRequest) -> HttpResponse:
    projects = writable_projects(request)
    form = NewSetForm(request.POST or None, projects=projects)

    def create(data: dict[str, Any]) -> RuleSet:
        return actions.create_rule_set(actor_of(request), **_with_project(data, projects))

    if request.method == "POST" and (made := form.submit(create)):
        return redirect("rule-set", made.uuid)
    return form_page(request, "firewall/rule_set_new.html", form)


@GET_OR_POST
def rule_set(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The rules; posting adds one."""
    found = _found(request, RuleSet, uuid)
    asked = {name: request.GET.get(name, "") for name in ("protocol", "ports", "sources")}
    sets = found.project.address_sets.all()
    form = RuleForm(request.POST or None, sets=sets, initial={k: v for k, v in asked.items() if v})
    if request.method == "POST" and form.done(lambda _: _add_rule(request, found, form)):
        return redirect("rule-set", uuid)
    context = {
        "rule_set": found,
        "rename_form": RenameSetForm(initial={"name": found.name}),
        "may_write": may_write(request, found.project_id),
    }
    return form_page(request, "firewall/rule_set.html", form, **context)


def _add_rule(request: HttpRequest, found: RuleSet, form: RuleForm) -> RuleSet:
    kept = [_typed(rule) for rule in found.rules.all()]
    try:
        return actions.change_rule_set(actor_of(request), found.uuid, rules=[*kept, form.rule()])
    except KvmwebError as error:
        error.field = error.field.rpartition(".")[2]
        raise


def _typed(rule: Rule) -> RuleText:
    """A rule that is kept as it would be typed."""
    return RuleText(
        protocol=rule.protocol,
        ports=rule.ports,
        sources=tuple(rule.sources),
        address_set=str(rule.address_set.uuid) if rule.address_set else None,
        note=rule.note,
    )


@require_POST
def rule_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    gone = get_for(user_of(request), Rule, uuid, write=True)
    others = gone.rule_set.rules.select_related("address_set").exclude(pk=gone.pk)
    kept = [_typed(rule) for rule in others]
    actions.change_rule_set(actor_of(request), gone.rule_set.uuid, rules=kept)
    return done(request, "What the rule opened is being closed.", "rule-set", gone.rule_set.uuid)


@require_POST
def rule_set_rename(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = RenameSetForm(request.POST)
    if form.done(lambda data: actions.change_rule_set(actor_of(request), uuid, **data)):
        return redirect("rule-set", uuid)
    found = _found(request, RuleSet, uuid)
    context: dict[str, Any] = {
        "rule_set": found,
        "rename_form": form,
        "may_write": may_write(request, found.project_id),
    }
    add = RuleForm(sets=found.project.address_sets.all())
    add.status = form.status
    return form_page(request, "firewall/rule_set.html", add, **context)


@require_POST
def rule_set_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    gone = actions.delete_rule_set(actor_of(request), uuid)
    return done(request, f"Rule set {gone} is gone.", "firewall")


@GET_OR_POST
def address_set_new(request: HttpRequest) -> HttpResponse:
    projects = writable_projects(request)
    form = NewAddressSetForm(request.POST or None, projects=projects)

    def create(data: dict[str, Any]) -> AddressSet:
        return actions.create_address_set(actor_of(request), **_with_project(data, projects))

    if request.method == "POST" and form.done(create):
        return redirect("firewall")
    return form_page(request, "firewall/address_set_new.html", form)


@GET_OR_POST
def address_set(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = _found(request, AddressSet, uuid)
    initial = {"name": found.name, "networks": "\n".join(found.networks)}
    form = AddressSetForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.done(
        lambda data: actions.change_address_set(actor_of(request), uuid, **data)
    ):
        return done(request, f"Address set {found} was changed.", "firewall")
    context = {"address_set": found, "may_write": may_write(request, found.project_id)}
    return form_page(request, "firewall/address_set.html", form, **context)


@require_POST
def address_set_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    gone = actions.delete_address_set(actor_of(request), uuid)
    return done(request, f"Address set {gone} is gone.", "firewall")


@GET_OR_POST
def network_firewall(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What opens all guests of a network."""
    found = get_for(user_of(request), Network, uuid, write=True)
    bridged.refuse_unfiltered(found, "rule_sets")
    form = _applied(request, found, found.project)
    if request.method == "POST" and form.done(
        lambda data: actions.apply_to_network(actor_of(request), uuid, **data)
    ):
        return redirect("network", uuid)
    words = f"all guests of network {found}"
    return form_page(request, "firewall/apply.html", form, network=found, words=words)


@GET_OR_POST
def reservation_firewall(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What opens one guest."""
    found = get_for(user_of(request), Reservation, uuid, write=True)
    bridged.refuse_unfiltered(found.network, "rule_sets")
    form = _applied(request, found, found.network.project)
    if request.method == "POST" and form.done(
        lambda data: actions.apply_to_reservation(actor_of(request), uuid, **data)
    ):
        return redirect("network", found.network.uuid)
    context = {"network": found.network, "words": f"{found.name} ({found.place}) alone"}
    return form_page(request, "firewall/apply.html", form, **context)


def _applied(request: HttpRequest, to: Network | Reservation, project: Project) -> AppliedForm:
    initial = {"rule_sets": [str(each.uuid) for each in to.rule_sets.all()]}
    posted = request.POST if request.method == "POST" else None
    return AppliedForm(posted, sets=project.rule_sets.all(), initial=initial)


def _with_project(data: dict[str, Any], projects: list[Any]) -> dict[str, Any]:
    return {**data, "project": data.get("project") or str(projects[0].uuid)}


def _found(request: HttpRequest, model: Any, uuid: UUID) -> Any:
    get_for(user_of(request), model, uuid)
    return model.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
