"""REST: the panel's own names, for operators."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, PortField, Shown, StateField
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of
from networks import actions
from networks.api.host_names import CertificateShown
from networks.certificates import LARGEST
from networks.models import PanelName


class PanelNameShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    url = serializers.CharField()
    public_address = serializers.UUIDField(source="public_address.uuid")
    public_ip = serializers.CharField(
        source="public_address.address", help_text="What the name has to resolve to."
    )
    address = serializers.CharField(help_text="Where the host finds the panel.")
    port = serializers.IntegerField()
    certificate = CertificateShown()
    state = StateField()
    problem = serializers.CharField(help_text="Why the host could not serve it; usually empty.")
    job = serializers.UUIDField(source="job.uuid", allow_null=True, help_text="The newest job.")


class PanelChange(Body):
    """A certificate comes with its key."""

    address = serializers.IPAddressField(
        protocol="ipv4", required=False, help_text="Where the host finds the panel."
    )
    port = PortField(required=False)
    certificate = serializers.CharField(
        required=False, write_only=True, max_length=LARGEST, help_text="PEM, its own first."
    )
    private_key = serializers.CharField(
        required=False,
        write_only=True,
        max_length=LARGEST,
        help_text="PEM, without a password. It is never shown again.",
    )


class NewPanelName(PanelChange):
    public_address = serializers.UUIDField()
    name = serializers.CharField(max_length=255)


class PanelNames(Resource):
    """Names by which hosts serve the panel itself. Others than operators see none."""

    model = PanelName
    serializer_class = PanelNameShown

    @previewed
    @takes(NewPanelName, PanelNameShown)
    @once
    def create(self, request: Request) -> Response:
        """Serve the panel by a name on port 443 of a public address."""
        wanted = self.body(NewPanelName)
        return self.accepted(actions.add_panel_name(actor_of(request), **wanted))

    @previewed
    @takes(PanelChange, PanelNameShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Another certificate, or another place where the panel listens."""
        change = self.change(PanelChange)
        return self.accepted(actions.change_panel_name(actor_of(request), uuid, **change))

    @previewed
    @starts(PanelNameShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Serve the panel by this name no longer; its own address goes on working."""
        return self.accepted(actions.delete_panel_name(actor_of(request), uuid))
