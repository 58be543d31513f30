"""REST: forwards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import AddressField, Body, Filters, Nothing, PortField
from kvmweb.api.metrics import metrics_answer, shows_metrics
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of, user_of
from kvmweb.core.access import get_for
from kvmweb.core.errors import Invalid, NotFound
from networks import actions
from networks.admission import LARGEST_LIMIT
from networks.api.flows import ended, ends_flows, listing, lists_flows
from networks.api.parts import Extension, PartShown, target_of
from networks.api.usage import ForwardUsageShown
from networks.api.why import Trying, TryingPort, explains_forward, explains_port, query, shown
from networks.carried import thing_of
from networks.flows import of_forward
from networks.limits import MOST_ALLOWED
from networks.models import Forward, ForwardQuerySet
from networks.ports import LARGEST_PORT, warning_for
from networks.usage import unused
from networks.why import why_forward


class ForwardShown(PartShown):
    reservation = serializers.UUIDField(source="reservation.uuid")
    protocol = serializers.ChoiceField(Forward.Protocol.choices)
    public_address = serializers.UUIDField(source="public_address.uuid")
    public_port = serializers.IntegerField()
    public_endpoint = serializers.CharField(help_text="Address and port to connect to.")
    address = serializers.CharField(source="target_address", help_text="Where it leads.")
    target_port = serializers.IntegerField()
    ports = serializers.IntegerField(help_text="How many in a row; the ports above are the first.")
    public_port_end = serializers.IntegerField(help_text="The last of its public ports.")
    source_nat = serializers.BooleanField(help_text="Its guest leaves by the public address too.")
    note = serializers.CharField()
    sources = serializers.ListField(
        child=serializers.CharField(), help_text="Who may use it, in CIDR notation; none: anyone."
    )
    max_connections = serializers.IntegerField(allow_null=True)
    max_rate = serializers.IntegerField(allow_null=True)
    max_burst = serializers.IntegerField(allow_null=True)
    paused = serializers.BooleanField(help_text="Closed on the host; the port is kept.")
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When it is closed; null lasts for good."
    )
    usage = ForwardUsageShown(source="*", help_text="What it has carried.")
    warnings = serializers.SerializerMethodField(help_text="Cautions about the public port.")

    def get_warnings(self, forward: Any) -> list[str]:
        warning = warning_for(forward.public_address, forward.public_port, forward.ports)
        return [warning] if warning else []


def _limit(words: str) -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=LARGEST_LIMIT,
        help_text=f"{words}; null is no limit.",
    )


class AdmissionOfForward(Body):
    """Who may use a forward and how much."""

    sources = serializers.ListField(
        child=serializers.CharField(max_length=50),
        required=False,
        max_length=MOST_ALLOWED,
        help_text="IPv4 addresses and networks that may use it; none means anyone.",
    )
    max_connections = _limit("Connections open at the same time")
    max_rate = _limit("New connections per second")
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="When to close it; null lasts for good."
    )
    source_nat = serializers.BooleanField(
        required=False, help_text="Let its guest leave by the public address too."
    )
    max_burst = _limit("New connections at once, beyond `max_rate`; as many as it when absent")


class NewForward(AdmissionOfForward):
    vm = serializers.UUIDField(default=None, allow_null=True, help_text="This or `reservation`.")
    reservation = serializers.UUIDField(default=None, allow_null=True)
    protocol = serializers.ChoiceField(Forward.Protocol.choices, default=Forward.Protocol.TCP)
    public_port = PortField(
        default=None, allow_null=True, help_text="A free one is picked when absent."
    )
    target_port = PortField(
        default=None, allow_null=True, help_text="A range leads to the same ports when absent."
    )
    ports = serializers.IntegerField(
        default=1, min_value=1, max_value=LARGEST_PORT, help_text="How many in a row."
    )
    public_address = AddressField(
        default=None,
        allow_null=True,
        help_text="Its id, or the address itself; the host's default one when absent.",
    )
    note = serializers.CharField(default="", allow_blank=True, max_length=200)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["vm"] is None) == (attrs["reservation"] is None):
            raise Invalid("Say either `vm` or `reservation`.", field="vm")
        return attrs


class ForwardChange(AdmissionOfForward):
    target_port = PortField(required=False)
    reservation = serializers.UUIDField(
        required=False, help_text="Another one of the same network."
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=200)


class ForwardFilter(Filters):
    project = filters.UUIDFilter("network__project__uuid")
    network = filters.UUIDFilter("network__uuid")
    reservation = filters.UUIDFilter("reservation__uuid")
    vm = filters.UUIDFilter("reservation__nic__vm__uuid")
    protocol = filters.ChoiceFilter(choices=Forward.Protocol.choices)
    public_port = filters.NumberFilter(
        method="filter_port", help_text="This port, alone or in a range."
    )
    unused_days = filters.NumberFilter(
        method="filter_unused",
        min_value=0,
        help_text="Not used for so many days, nor younger.",
    )
    expires_before = filters.IsoDateTimeFilter(
        "expires_at", "lte", help_text="Closed by itself until then, or already."
    )
    search = filters.CharFilter("reservation__name", "icontains", help_text="Part of its name.")

    def filter_port(self, rows: ForwardQuerySet, _name: str, port: Decimal) -> ForwardQuerySet:
        return rows.filter(public_port__lte=port, public_port__gt=port - F("ports"))

    def filter_unused(self, rows: ForwardQuerySet, _name: str, days: Decimal) -> ForwardQuerySet:
        return rows.filter(unused(int(days)))


class Forwards(Resource):
    """Public ports that lead to a reservation."""

    model = Forward
    serializer_class = ForwardShown
    filterset_class = ForwardFilter

    def shown(self, rows: ForwardQuerySet) -> ForwardQuerySet:
        return (
            rows.for_display()
            .select_related("reservation__nic__vm")
            .prefetch_related("public_address__host")
        )

    @previewed
    @takes(NewForward, ForwardShown)
    @once
    def create(self, request: Request) -> Response:
        """Open a public port to a VM or a reservation."""
        wanted = self.body(NewForward)
        with target_of(user_of(request), wanted):
            return self.accepted(actions.add_forward(actor_of(request), **wanted))

    @previewed
    @takes(ForwardChange, ForwardShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Lead a forward elsewhere, change who may use it and how much, or its note.

        Connections that it no longer allows end at once, all others stay.
        """
        change = self.change(ForwardChange)
        return self.accepted(actions.change_forward(actor_of(request), uuid, **change))

    @previewed
    @starts(ForwardShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Close a public port; its open connections end."""
        return self.accepted(actions.delete_forward(actor_of(request), uuid))

    @previewed
    @starts(ForwardShown)
    @action(detail=True, methods=["post"])
    @once
    def pause(self, request: Request, uuid: UUID) -> Response:
        """Close a public port and keep it; its open connections end."""
        self.body(Nothing)
        return self.accepted(actions.pause_forward(actor_of(request), uuid))

    @previewed
    @takes(Extension, ForwardShown)
    @action(detail=True, methods=["post"])
    @once
    def extend(self, request: Request, uuid: UUID) -> Response:
        """Let a forward last longer; one that has expired opens again."""
        wanted = self.body(Extension)
        return self.accepted(actions.extend_forward(actor_of(request), uuid, **wanted))

    @previewed
    @starts(ForwardShown)
    @action(detail=True, methods=["post"])
    @once
    def resume(self, request: Request, uuid: UUID) -> Response:
        """Open a paused forward again."""
        self.body(Nothing)
        return self.accepted(actions.resume_forward(actor_of(request), uuid))

    @explains_forward
    @action(detail=True)
    def explain(self, request: Request, uuid: UUID) -> Response:
        """Why this forward is (not) reachable: asked of the host now."""
        forward = self.displayed(uuid)
        wanted = query(request, Trying)
        return shown(why_forward(user_of(request), forward, **wanted))

    @explains_port
    @action(detail=False, url_path="explain", url_name="explain-port")
    def explain_port(self, request: Request) -> Response:
        """Why a port of a public address is (not) reachable: asked of the host now."""
        wanted = query(request, TryingPort)
        address = wanted.pop("public_address")
        forward = self._at(address, wanted["protocol"] or "tcp", wanted["public_port"])
        return shown(why_forward(user_of(request), forward, **wanted))

    def _at(self, address: str, protocol: str, port: int) -> Forward:
        """Who has this port, alone or with all of the address."""
        claims = Q(claims__protocol=protocol, claims__port=port)
        claims |= Q(claims__protocol=Forward.Protocol.ALL)
        rows = self.get_queryset().filter(claims, public_address__address=address)
        found: Forward | None = rows.first()
        if found is None:
            raise NotFound("None of your forwards uses this port of this address.")
        return found

    @lists_flows
    @action(detail=True)
    def flows(self, request: Request, uuid: UUID) -> Response:
        """The connections through a forward, as they are now."""
        return listing(request, of_forward(self.displayed(uuid)))

    @shows_metrics
    @action(detail=True)
    def metrics(self, request: Request, uuid: UUID) -> Response:
        """What a forward carried over time."""
        forward = self.displayed(uuid)
        return metrics_answer(request, thing_of(forward, forward.network.host))

    @ends_flows
    @flows.mapping.delete
    def end_flows(self, request: Request, uuid: UUID) -> Response:
        """End the connections through a forward, or one of them."""
        get_for(user_of(request), Forward, uuid, write=True)
        return ended(request, of_forward(self.displayed(uuid)))
