"""REST: SSH keys of one's own account."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Shown
from kvmweb.api.once import once
from kvmweb.api.schema import takes
from kvmweb.api.views import Resource, actor_of
from vms.actions import add_key, remove_key
from vms.models import SshKey


class SshKeyShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    public_key = serializers.CharField()
    fingerprint = serializers.CharField(help_text="As ssh-keygen -l tells it.")
    created_at = serializers.DateTimeField()


class NewSshKey(Body):
    public_key = serializers.CharField(help_text="One line of a .pub file.")
    name = serializers.CharField(
        default="", allow_blank=True, max_length=63, help_text="The key's comment when absent."
    )


class SshKeys(Resource):
    """Public keys that you keep, to be named when VMs are made."""

    model = SshKey
    serializer_class = SshKeyShown

    @takes(NewSshKey, SshKeyShown, status=201)
    @once
    def create(self, request: Request) -> Response:
        """Keep a public key."""
        key = add_key(actor_of(request), **self.body(NewSshKey))
        return Response(self.get_serializer(key).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Forget a key; VMs that were made with it go on admitting it."""
        remove_key(actor_of(request), uuid)
        return Response(status=status.HTTP_204_NO_CONTENT)
