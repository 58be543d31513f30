"""REST: images and the catalogue of well-known ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Filters, Nothing, Shown, StateField
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of, user_of
from kvmweb.core.access import get_for
from kvmweb.core.errors import Invalid
from vms import actions
from vms.actions import NewImage
from vms.catalogue import catalogue, listed
from vms.models import Image

LARGEST = 2**31 - 1
OFFSET = "Upload-Offset"
_CHUNK = 1 << 20


class ImageShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    version = serializers.IntegerField(help_text="Newer ones have the same name.")
    description = serializers.CharField()
    os = serializers.CharField(help_text="The operating system in it.")
    project = serializers.UUIDField(
        source="project.uuid", allow_null=True, help_text="Null: everybody may use it."
    )
    state = StateField()
    deprecated = serializers.SerializerMethodField(help_text="No new VMs are made of it.")
    sha256 = serializers.CharField(help_text="Of the qcow2 that hosts fetch; empty until then.")
    size_bytes = serializers.IntegerField()
    virtual_size_bytes = serializers.IntegerField()
    min_disk_gib = serializers.IntegerField()
    min_memory_mib = serializers.IntegerField()
    default_user = serializers.CharField()
    firmware = serializers.ChoiceField(Image.Firmware.choices)
    speaks_cloud_init = serializers.BooleanField()
    origin = serializers.ChoiceField(Image.Origin.choices)
    url = serializers.CharField(help_text="Where it was imported from; may be empty.")
    found_checksum = serializers.CharField(help_text="Of what came in, before it was converted.")
    found_format = serializers.CharField(help_text="What came in: qcow2, raw, vmdk or vhdx.")
    upload_bytes = serializers.IntegerField(help_text="How large the whole upload is.")
    received_bytes = serializers.IntegerField(help_text="How much of it has arrived.")
    job = serializers.UUIDField(source="job.uuid", allow_null=True, help_text="The newest job.")
    created_at = serializers.DateTimeField()

    def get_deprecated(self, image: Image) -> bool:
        return image.deprecated_at is not None


class ImageFacts(Body):
    """What is said of an image. Nothing of it changes its content."""

    description = serializers.CharField(required=False, allow_blank=True, max_length=200)
    os = serializers.CharField(required=False, allow_blank=True, max_length=60)
    default_user = serializers.RegexField(
        r"^[a-z_][a-z0-9_-]*$", required=False, allow_blank=True, max_length=32
    )
    firmware = serializers.ChoiceField(Image.Firmware.choices, required=False)
    speaks_cloud_init = serializers.BooleanField(required=False)
    min_memory_mib = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST)
    least_disk_gib = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST, help_text="The image's own size at least."
    )


class ImageOfSomebody(ImageFacts):
    name = serializers.CharField(required=False, help_text="A label: a-z, 0-9 and -.")
    replaces = serializers.UUIDField(
        required=False, help_text="An image; this is its next version, under its name."
    )
    project = serializers.UUIDField(required=False, help_text="Your own when absent.")
    public = serializers.BooleanField(default=False, help_text="For everybody; by operators.")
    checksum = serializers.CharField(
        default="", allow_blank=True, max_length=140, help_text="SHA-256 or SHA-512 of the file."
    )


class NewImport(ImageOfSomebody):
    url = serializers.CharField(required=False, max_length=500)
    checksum_url = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=500,
        help_text="Where the publisher lists checksums, if none is given here.",
    )
    catalogue = serializers.CharField(
        required=False, help_text="An entry of the catalogue, instead of an URL."
    )


class NewUpload(ImageOfSomebody):
    upload_bytes = serializers.IntegerField(min_value=1, max_value=2**62)


class ImageFilter(Filters):
    project = filters.UUIDFilter("project__uuid")
    name = filters.CharFilter("name", help_text="All versions of this name.")
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Bytes(BaseParser):
    """A part of a file, as it comes; read by the view in pieces."""

    media_type = "application/offset+octet-stream"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:  # noqa: ARG002
        return stream


class Images(Resource):
    """What VMs are made from."""

    model = Image
    serializer_class = ImageShown
    filterset_class = ImageFilter

    @takes(NewImport, ImageShown)
    @once
    def create(self, request: Request) -> Response:
        """Import an image by its URL, or one of the catalogue."""
        body = self.body(NewImport)
        entry, checksum_url = body.pop("catalogue", None), body.pop("checksum_url")
        url = body.pop("url", "")
        if entry is not None:
            made = import_listed(request, entry, body)
        elif url:
            made = actions.import_image(
                actor_of(request), NewImage(**body), url=url, checksum_url=checksum_url
            )
        else:
            raise Invalid("Give an URL, or an entry of the catalogue.", field="url")
        return self.accepted(made)

    @takes(NewUpload, ImageShown, status=201)
    @action(detail=False, methods=["post"])
    @once
    def upload(self, request: Request) -> Response:
        """Begin an upload; its content is sent to the image's `content`."""
        body = self.body(NewUpload)
        size = body.pop("upload_bytes")
        made = actions.upload_image(actor_of(request), NewImage(**body), upload_bytes=size)
        return Response(
            self.get_serializer(self.displayed(made.uuid)).data, status.HTTP_201_CREATED
        )

    @extend_schema(
        request={"application/offset+octet-stream": {"type": "string", "format": "binary"}},
        responses={200: ImageShown},
        parameters=[
            OpenApiParameter(
                OFFSET, int, "header", required=True, description="Where this part begins."
            )
        ],
    )
    @action(detail=True, methods=["patch"], parser_classes=[Bytes, JSONParser])
    def content(self, request: Request, uuid: UUID) -> Response:
        """Send the next part of an upload; `received_bytes` says where it begins."""
        get_for(user_of(request), Image, uuid, write=True)
        offset = _offset(request)
        image = actions.receive(
            actor_of(request), uuid, offset=offset, chunks=_chunks(request.data)
        )
        shown = self.displayed(image.uuid)
        return Response(
            self.get_serializer(shown).data, headers={OFFSET: str(shown.received_bytes)}
        )

    @takes(ImageFacts, ImageShown, status=200)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Say otherwise what an image is."""
        actions.change_image(actor_of(request), uuid, **self.change(ImageFacts))
        return self._shown(uuid)

    @starts(ImageShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Delete an image that no VM stands on."""
        return self.accepted(actions.delete_image(actor_of(request), uuid))

    @extend_schema(request=Nothing, responses={200: ImageShown})
    @action(detail=True, methods=["post"])
    @once
    def deprecate(self, request: Request, uuid: UUID) -> Response:
        """Make no new VMs of it."""
        return self._deprecated(request, uuid, deprecated=True)

    @extend_schema(request=Nothing, responses={200: ImageShown})
    @action(detail=True, methods=["post"])
    @once
    def offer(self, request: Request, uuid: UUID) -> Response:
        """Offer a deprecated image again."""
        return self._deprecated(request, uuid, deprecated=False)

    def _deprecated(self, request: Request, uuid: UUID, *, deprecated: bool) -> Response:
        self.body(Nothing)
        actions.deprecate_image(actor_of(request), uuid, deprecated=deprecated)
        return self._shown(uuid)

    def _shown(self, uuid: UUID) -> Response:
        return Response(self.get_serializer(self.displayed(uuid)).data)


def import_listed(request: Request, entry: str, body: dict[str, Any]) -> Image:
    """An image of the catalogue; what the body says of it goes before what is listed."""
    return actions.import_listed(actor_of(request), listed(entry), **body)


def _offset(request: Request) -> int:
    text = request.headers.get(OFFSET, "")
    if not text.isdecimal() or len(text) > 19:
        raise Invalid("Say in a header where this part begins.", field=OFFSET)
    return int(text)


def _chunks(stream: Any) -> Iterator[bytes]:
    if not hasattr(stream, "read"):
        raise Invalid("Send bytes, as application/offset+octet-stream.", code="no_bytes")
    while chunk := cast("bytes", stream.read(_CHUNK)):
        yield chunk


class ListedShown(Shown):
    id = serializers.CharField()
    name = serializers.CharField()
    os = serializers.CharField()
    url = serializers.CharField()
    checksum_url = serializers.CharField()
    default_user = serializers.CharField()
    min_memory_mib = serializers.IntegerField()
    min_disk_gib = serializers.IntegerField()


class Catalogue(viewsets.GenericViewSet[Any]):
    """Well-known cloud images, ready to be imported."""

    serializer_class = ListedShown
    pagination_class = None
    filter_backends = ()

    def list(self, request: Request) -> Response:  # noqa: ARG002
        """All of them, at their publishers or at the mirror that an operator has set."""
        return Response(ListedShown(catalogue(), many=True).data)
