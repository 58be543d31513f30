"""What the views of all resources share: who asks, what they may see, how they are answered."""

from __future__ import annotations

from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.urls import reverse
from rest_framework import mixins, status, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from kvmweb.api.pagination import Pages
from kvmweb.core.access import get_for, visible
from kvmweb.core.errors import Invalid
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import ApiToken


def user_of(request: Request) -> User:
    """The user of an endpoint that nobody enters without one."""
    return cast("User", request.user)


def actor_of(request: Request) -> Actor:
    """Who asks, from which address and with which token."""
    token = request.auth.prefix if isinstance(request.auth, ApiToken) else ""
    return Actor(user_of(request), source=request.META.get("REMOTE_ADDR", ""), token=token)


class Resource(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]):
    """A list and its objects, as far as the user may see them."""

    model: ClassVar[type[Model]]
    lookup_field = "uuid"
    lookup_value_converter = "uuid"
    pagination_class: type[BasePagination] | None = Pages

    def get_queryset(self) -> QuerySet[Any]:
        return self.shown(visible(self.request.user, self.model))

    def shown(self, rows: Any) -> QuerySet[Any]:
        """`rows` with all that an answer shows, in a constant number of queries."""
        return cast("QuerySet[Any]", rows.for_display())

    def get_object(self) -> Any:
        return self.displayed(self.kwargs["uuid"])

    def displayed(self, uuid: UUID) -> Any:
        """One object as it is shown; strangers are told that there is none."""
        found = get_for(self.request.user, self.model, uuid)
        return self.get_queryset().get(pk=found.pk)

    def body(self, serializer: type[Serializer[Any]], *, partial: bool = False) -> dict[str, Any]:
        """The checked body of the request."""
        read = serializer(data=self.request.data, partial=partial)
        read.is_valid(raise_exception=True)
        return cast("dict[str, Any]", read.validated_data)

    def change(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """The checked body of a PATCH: only what it names, and at least one thing."""
        wanted = self.body(serializer, partial=True)
        if not wanted:
            names = ", ".join(serializer().fields)
            raise Invalid(f"Nothing to change. Send at least one of: {names}.")
        return wanted

    def accepted(self, changed: Any) -> Response:
        """202, the job that brings the change to the host, and the object as it is now."""
        shown = self.displayed(changed.uuid)
        data = self.get_serializer(shown).data
        location = job_url(self.job_of(shown))
        return Response(data, status.HTTP_202_ACCEPTED, headers={"Location": location})

    def job_of(self, shown: Any) -> Job:
        """The job that brings this object to its host."""
        return cast("Job", shown.job)


def job_url(job: Job) -> str:
    return reverse("api:job-detail", kwargs={"uuid": job.uuid})


class NothingHere(APIView):
    """Any other address under the API: the same shape of error as everywhere."""

    permission_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address.")
