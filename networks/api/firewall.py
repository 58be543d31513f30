"""REST: the firewall of guests that are reachable as a whole."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, Filters, Shown
from kvmweb.api.once import once
from kvmweb.api.schema import takes
from kvmweb.api.views import Resource, actor_of
from networks import actions
from networks.inbound import RuleText
from networks.limits import MOST_RULES, MOST_SOURCES
from networks.models import AddressSet, Rule, RuleSet


def _cidrs(words: str, **options: Any) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=50),
        max_length=MOST_SOURCES,
        help_text=words,
        **options,
    )


class AddressSetShown(Shown):
    id = serializers.UUIDField(source="uuid")
    project = serializers.UUIDField(source="project.uuid")
    name = serializers.CharField()
    networks = serializers.ListField(child=serializers.CharField(), help_text="CIDR notation.")
    rule_sets = serializers.IntegerField(source="used", help_text="How many rule sets name it.")
    created_at = serializers.DateTimeField()


class NewAddressSet(Body):
    name = serializers.CharField(help_text="A label: a-z, 0-9 and -.")
    networks = _cidrs("Addresses and networks of either family.")
    project = serializers.UUIDField(default=None, allow_null=True)


class AddressSetChange(Body):
    name = serializers.CharField()
    networks = _cidrs("All of its addresses, in place of those it has.")


class SetFilter(Filters):
    project = filters.UUIDFilter("project__uuid")
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class AddressSets(Resource):
    """Addresses and networks under a name, for the rules of a project."""

    model = AddressSet
    serializer_class = AddressSetShown
    filterset_class = SetFilter

    @previewed
    @takes(NewAddressSet, AddressSetShown, status=201)
    @once
    def create(self, request: Request) -> Response:
        """Give addresses a name."""
        made = actions.create_address_set(actor_of(request), **self.body(NewAddressSet))
        return _answer(self, made, status.HTTP_201_CREATED)

    @previewed
    @takes(AddressSetChange, AddressSetShown, status=200)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Rename it or change its addresses; the guests that its rules open follow at once."""
        change = self.change(AddressSetChange)
        return _answer(self, actions.change_address_set(actor_of(request), uuid, **change))

    @previewed
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Remove addresses that no rule names."""
        actions.delete_address_set(actor_of(request), uuid)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RuleShown(Shown):
    protocol = serializers.ChoiceField(Rule.Protocol.choices)
    ports = serializers.CharField(help_text="Such as 443 or 8000-8100; empty is all.")
    sources = serializers.ListField(child=serializers.CharField())
    address_set = serializers.UUIDField(source="address_set.uuid", allow_null=True, default=None)
    note = serializers.CharField()


class RuleSetShown(Shown):
    id = serializers.UUIDField(source="uuid")
    project = serializers.UUIDField(source="project.uuid")
    name = serializers.CharField()
    rules = RuleShown(many=True)
    networks = serializers.SerializerMethodField(help_text="The networks it is applied to.")
    reservations = serializers.SerializerMethodField(help_text="Single guests it is applied to.")
    created_at = serializers.DateTimeField()

    def get_networks(self, rule_set: Any) -> list[UUID]:
        return [network.uuid for network in rule_set.networks.all()]

    def get_reservations(self, rule_set: Any) -> list[UUID]:
        return [reservation.uuid for reservation in rule_set.reservations.all()]


class RuleBody(Body):
    protocol = serializers.ChoiceField(Rule.Protocol.choices)
    ports = serializers.CharField(
        default="", allow_blank=True, help_text="Such as 443 or 8000-8100; empty is all."
    )
    sources = _cidrs("Who may come; none of these and no address set is anyone.", default=list)
    address_set = serializers.UUIDField(default=None, allow_null=True, help_text="Or these.")
    note = serializers.CharField(default="", allow_blank=True, max_length=200)


class NewRuleSet(Body):
    name = serializers.CharField(help_text="A label: a-z, 0-9 and -.")
    rules = RuleBody(many=True, default=list)
    project = serializers.UUIDField(default=None, allow_null=True)


class RuleSetChange(Body):
    name = serializers.CharField()
    rules = RuleBody(many=True, help_text="In place of all it has.")


class RuleSetFilter(SetFilter):
    network = filters.UUIDFilter("networks__uuid", help_text="Applied to this network.")
    reservation = filters.UUIDFilter("reservations__uuid", help_text="Applied to this guest.")


class RuleSets(Resource):
    """Rules that open guests to the outside, under a name."""

    model = RuleSet
    serializer_class = RuleSetShown
    filterset_class = RuleSetFilter

    @previewed
    @takes(NewRuleSet, RuleSetShown, status=201)
    @once
    def create(self, request: Request) -> Response:
        """Make a rule set; it opens nothing until it is applied."""
        body = self.body(NewRuleSet)
        made = actions.create_rule_set(actor_of(request), **{**body, "rules": _rules(body)})
        return _answer(self, made, status.HTTP_201_CREATED)

    @previewed
    @takes(RuleSetChange, RuleSetShown, status=200)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Rename it or replace its rules; the guests it opens follow at once, each network by a
        job of its own."""
        change = self.change(RuleSetChange)
        if "rules" in change:
            change["rules"] = _rules(change)
        return _answer(self, actions.change_rule_set(actor_of(request), uuid, **change))

    @previewed
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Remove a rule set that is applied to nothing."""
        actions.delete_rule_set(actor_of(request), uuid)
        return Response(status=status.HTTP_204_NO_CONTENT)


class AppliedRuleSets(Body):
    rule_sets = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=MOST_RULES,
        help_text="All of them, in place of those applied now; none closes everything.",
    )


def _rules(body: dict[str, Any]) -> list[RuleText]:
    return [
        RuleText(
            protocol=rule["protocol"],
            ports=rule["ports"],
            sources=tuple(rule["sources"]),
            address_set=str(rule["address_set"]) if rule["address_set"] else None,
            note=rule["note"],
        )
        for rule in body["rules"]
    ]


def _answer(view: Resource, changed: Any, code: int = status.HTTP_200_OK) -> Response:
    return Response(view.get_serializer(view.displayed(changed.uuid)).data, status=code)
