"""REST: interfaces of hosts that guests of bridged networks may be on."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
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
from networks.models import Attachment


class AttachmentShown(Shown):
    id = serializers.UUIDField(source="uuid")
    host = serializers.UUIDField(source="host.uuid")
    host_name = serializers.CharField(source="host.name")
    interface = serializers.CharField()
    kind = serializers.ChoiceField(Attachment.Kind.choices)
    is_filtered = serializers.BooleanField(
        help_text="Whether its guests can be closed, limited and kept apart here."
    )
    created_at = serializers.DateTimeField()


class NewAttachment(Body):
    host = serializers.UUIDField()
    interface = serializers.CharField(help_text="As the host's `facts.attachables` name it.")
    kind = serializers.ChoiceField(Attachment.Kind.choices, default=Attachment.Kind.BRIDGE)


class AttachmentFilter(Filters):
    host = filters.UUIDFilter("host__uuid")


class Attachments(Resource):
    """What operators have released, for everybody to put bridged networks on."""

    model = Attachment
    serializer_class = AttachmentShown
    filterset_class = AttachmentFilter

    def shown(self, rows: QuerySet[Attachment]) -> QuerySet[Attachment]:
        return rows.select_related("host")

    @previewed
    @takes(NewAttachment, AttachmentShown, status=201)
    @once
    def create(self, request: Request) -> Response:
        """Release an interface of a host; operators only."""
        made = actions.release_attachment(actor_of(request), **self.body(NewAttachment))
        return Response(AttachmentShown(made).data, status.HTTP_201_CREATED)

    @previewed
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Withdraw an interface that no network is on; operators only."""
        actions.withdraw_attachment(actor_of(request), uuid)
        return Response(status=status.HTTP_204_NO_CONTENT)
