"""REST: images."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers

from kvmweb.api.fields import Filters, Shown
from kvmweb.api.views import Resource
from vms.models import Image


class ImageShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    description = serializers.CharField()
    project = serializers.UUIDField(
        source="project.uuid", allow_null=True, help_text="Null: everybody may use it."
    )
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    virtual_size_bytes = serializers.IntegerField()
    min_disk_gib = serializers.IntegerField()
    min_memory_mib = serializers.IntegerField()
    default_user = serializers.CharField()
    created_at = serializers.DateTimeField()


class ImageFilter(Filters):
    project = filters.UUIDFilter("project__uuid")
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Images(Resource):
    """What VMs are made from."""

    model = Image
    serializer_class = ImageShown
    filterset_class = ImageFilter

    def shown(self, rows: QuerySet[Image]) -> QuerySet[Image]:
        return rows.select_related("project")
