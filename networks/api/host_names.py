"""REST: host names on shared ports."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import AddressField, Body, Filters, Nothing, PortField, Shown
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of, user_of
from kvmweb.core.errors import Invalid
from networks import actions
from networks.api.parts import Extension, PartShown, target_of
from networks.api.usage import HostNameUsageShown
from networks.api.why import explains, shown
from networks.certificates import LARGEST
from networks.models import HostName, HostNameQuerySet
from networks.why import why_host_name


class CertificateShown(Shown):
    """Of a certificate and its key, what everybody may know."""

    names = serializers.ListField(child=serializers.CharField())
    issuer = serializers.CharField()
    not_before = serializers.DateTimeField()
    not_after = serializers.DateTimeField()
    fingerprint = serializers.CharField(help_text="SHA-256 of the PEM text.")
    ends_soon = serializers.BooleanField(help_text="Whether it is time to give another one.")


class HostNameShown(PartShown):
    name = serializers.CharField(help_text="`*.` before a name stands for one label.")
    reservation = serializers.UUIDField(source="reservation.uuid")
    public_address = serializers.UUIDField(source="public_address.uuid")
    public_ip = serializers.CharField(
        source="public_address.address", help_text="What the name has to resolve to."
    )
    address = serializers.CharField(
        source="target_address",
        help_text="Where it leads; of an IPv6 one, to the VM's IPv6 address if it has one.",
    )
    http_port = serializers.IntegerField(allow_null=True)
    tls = serializers.ChoiceField(HostName.Tls.choices)
    tls_port = serializers.IntegerField(allow_null=True)
    proxy_protocol = serializers.BooleanField()
    reencrypt = serializers.BooleanField()
    redirect = serializers.BooleanField(help_text="Port 80 sends visitors to TLS.")
    certificate = CertificateShown(
        source="own_certificate", allow_null=True, help_text="Null unless TLS ends at the host."
    )
    note = serializers.CharField()
    paused = serializers.BooleanField(help_text="Served to nobody; the name is kept.")
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When it is paused; null lasts for good."
    )
    usage = HostNameUsageShown(source="*", help_text="What it has carried.")


class ServingOfName(Body):
    """On which ports of the VM a name is served."""

    http_port = PortField(
        required=False,
        allow_null=True,
        help_text="The VM's port for requests on port 80; null does not serve them. Default 80.",
    )
    tls = serializers.ChoiceField(
        HostName.Tls.choices, required=False, help_text="What becomes of TLS on port 443."
    )
    tls_port = PortField(
        required=False,
        allow_null=True,
        help_text="The VM's port for TLS. Default 443; where TLS ends here, that for HTTP.",
    )
    proxy_protocol = serializers.BooleanField(
        required=False,
        help_text="Begin each TLS connection by version 2 of the PROXY protocol, so that the VM"
        " learns the client's address. It must expect that.",
    )
    reencrypt = serializers.BooleanField(
        required=False,
        help_text="Where TLS ends here: ask the VM by TLS again, whatever its certificate.",
    )
    redirect = serializers.BooleanField(
        required=False,
        help_text="Send requests on port 80 to https, but for challenges of certificate"
        " authorities, which reach `http_port`.",
    )
    certificate = serializers.CharField(
        required=False,
        write_only=True,
        max_length=LARGEST,
        help_text="PEM: the name's certificate, then the intermediate ones, for TLS that ends"
        " here. A new one replaces the old one; open connections go on.",
    )
    private_key = serializers.CharField(
        required=False,
        write_only=True,
        max_length=LARGEST,
        help_text="PEM: the certificate's key, without a password. It is never shown again.",
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=200)
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="When to pause it; null lasts for good."
    )


class NewHostName(ServingOfName):
    name = serializers.CharField(max_length=255)
    vm = serializers.UUIDField(default=None, allow_null=True, help_text="This or `reservation`.")
    reservation = serializers.UUIDField(default=None, allow_null=True)
    public_address = AddressField(
        default=None,
        allow_null=True,
        help_text="Its id, or the address itself; the host's default one when absent.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["vm"] is None) == (attrs["reservation"] is None):
            raise Invalid("Say either `vm` or `reservation`.", field="vm")
        return attrs


class HostNameChange(ServingOfName):
    reservation = serializers.UUIDField(
        required=False, help_text="Another one of the same network."
    )


class HostNameFilter(Filters):
    project = filters.UUIDFilter("network__project__uuid")
    network = filters.UUIDFilter("network__uuid")
    reservation = filters.UUIDFilter("reservation__uuid")
    vm = filters.UUIDFilter("reservation__nic__vm__uuid")
    public_address = filters.UUIDFilter("public_address__uuid")
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class HostNames(Resource):
    """Names that share ports 80 and 443 of a public address."""

    model = HostName
    serializer_class = HostNameShown
    filterset_class = HostNameFilter

    def shown(self, rows: HostNameQuerySet) -> HostNameQuerySet:
        return rows.for_display().select_related("reservation__nic__vm")

    @explains
    @action(detail=True)
    def explain(self, request: Request, uuid: UUID) -> Response:
        """Why requests by this name do (not) arrive: asked of the host now."""
        return shown(why_host_name(user_of(request), self.displayed(uuid)))

    @previewed
    @takes(NewHostName, HostNameShown)
    @once
    def create(self, request: Request) -> Response:
        """Lead a name to a VM or a reservation."""
        wanted = self.body(NewHostName)
        with target_of(request.user, wanted):
            return self.accepted(actions.add_host_name(actor_of(request), **wanted))

    @previewed
    @takes(HostNameChange, HostNameShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Lead a name elsewhere. The name and its public address stay."""
        change = self.change(HostNameChange)
        return self.accepted(actions.change_host_name(actor_of(request), uuid, **change))

    @previewed
    @starts(HostNameShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Give a name up; its open connections end."""
        return self.accepted(actions.delete_host_name(actor_of(request), uuid))

    @previewed
    @starts(HostNameShown)
    @action(detail=True, methods=["post"])
    @once
    def pause(self, request: Request, uuid: UUID) -> Response:
        """Serve a name to nobody and keep it; its open connections end."""
        self.body(Nothing)
        return self.accepted(actions.pause_host_name(actor_of(request), uuid))

    @previewed
    @takes(Extension, HostNameShown)
    @action(detail=True, methods=["post"])
    @once
    def extend(self, request: Request, uuid: UUID) -> Response:
        """Let a name lead on for longer; one that has expired is served again."""
        wanted = self.body(Extension)
        return self.accepted(actions.extend_host_name(actor_of(request), uuid, **wanted))

    @previewed
    @starts(HostNameShown)
    @action(detail=True, methods=["post"])
    @once
    def resume(self, request: Request, uuid: UUID) -> Response:
        """Serve a paused name again."""
        self.body(Nothing)
        return self.accepted(actions.resume_host_name(actor_of(request), uuid))
