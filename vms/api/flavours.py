"""REST: flavours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Shown
from kvmweb.api.once import once
from kvmweb.api.schema import takes
from kvmweb.api.views import Resource, actor_of, user_of
from kvmweb.core.access import is_operator
from kvmweb.core.errors import NotFound
from vms import actions
from vms.models import Flavour

LARGEST = 2**31 - 1


class FlavourShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    vcpus = serializers.IntegerField()
    memory_mib = serializers.IntegerField()
    disk_gib = serializers.IntegerField()
    projects = serializers.SerializerMethodField(
        help_text="Who may use it; empty is everybody. Only operators see it."
    )
    created_at = serializers.DateTimeField()

    def get_projects(self, flavour: Any) -> list[str]:
        if not is_operator(user_of(self.context["request"])):
            return []
        return [str(project.uuid) for project in flavour.projects.all()]


class NewFlavour(Body):
    name = serializers.CharField(max_length=40)
    vcpus = serializers.IntegerField(min_value=1, max_value=LARGEST)
    memory_mib = serializers.IntegerField(min_value=1, max_value=LARGEST)
    disk_gib = serializers.IntegerField(min_value=1, max_value=LARGEST)
    projects = serializers.ListField(child=serializers.UUIDField(), default=list)


class Flavours(Resource):
    """Sizes that operators offer for VMs."""

    model = Flavour
    serializer_class = FlavourShown

    @takes(NewFlavour, FlavourShown, status=201)
    @once
    def create(self, request: Request) -> Response:
        """Offer a size; operators only."""
        if not is_operator(user_of(request)):
            raise NotFound("There is nothing at this address.")
        made = actions.create_flavour(actor_of(request), **self.body(NewFlavour))
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @takes(NewFlavour, FlavourShown, status=200)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Change a size; VMs that were made of it keep theirs. Operators only."""
        changed = actions.change_flavour(actor_of(request), uuid, **self.change(NewFlavour))
        return Response(self.get_serializer(changed).data)

    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Offer a size no longer; VMs that were made of it keep theirs. Operators only."""
        actions.delete_flavour(actor_of(request), uuid)
        return Response(status=status.HTTP_204_NO_CONTENT)
