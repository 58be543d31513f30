"""REST: jobs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Filters, Nothing, Shown
from kvmweb.api.once import once
from kvmweb.api.pagination import Newest
from kvmweb.api.schema import starts
from kvmweb.api.views import Resource, actor_of, job_url
from kvmweb.core.access import is_operator
from kvmweb.jobs.actions import retry_job
from kvmweb.jobs.models import Job, Status
from kvmweb.jobs.steps import fold


class SubjectShown(Shown):
    kind = serializers.CharField()
    id = serializers.UUIDField(source="subject")
    name = serializers.CharField(source="subject_name")


class StepShown(Shown):
    key = serializers.CharField()
    seq = serializers.IntegerField(help_text="Number of the event that said so last.")
    sentence = serializers.CharField()
    state = serializers.CharField(help_text="running, done or failed.")
    percent = serializers.IntegerField(allow_null=True, help_text="Where the work has a size.")
    detail = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)


class JobShown(Shown):
    id = serializers.UUIDField(source="uuid")
    title = serializers.CharField()
    status = serializers.ChoiceField(Status.choices)
    subject = SubjectShown(source="*")
    project = serializers.UUIDField(source="project.uuid", allow_null=True)
    host = serializers.CharField(source="host_name", help_text="Name of the host; may be empty.")
    code = serializers.CharField(help_text="Why it failed, for programs.")
    message = serializers.CharField(help_text="Why it failed, for people.")
    remedy = serializers.CharField(help_text="What to do about it.")
    only_checks = serializers.BooleanField(help_text="It compares and changes nothing.")
    attempt = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class JobWithSteps(JobShown):
    steps = serializers.SerializerMethodField()
    traceback = serializers.SerializerMethodField(help_text="For operators, when it crashed.")

    @extend_schema_field(StepShown(many=True))
    def get_steps(self, job: Job) -> list[dict[str, Any]]:
        return [dict(StepShown(step).data) for step in fold(job.events.all())]

    def get_traceback(self, job: Job) -> str:
        return job.traceback if is_operator(self.context["request"].user) else ""


def started(view: Resource, job: Job) -> Response:
    """202 and a job that is no object's newest: its own answer."""
    data = JobWithSteps(job, context=view.get_serializer_context()).data
    return Response(data, status.HTTP_202_ACCEPTED, headers={"Location": job_url(job)})


class JobFilter(Filters):
    project = filters.UUIDFilter("project__uuid")
    status = filters.MultipleChoiceFilter(choices=Status.choices)
    kind = filters.CharFilter("kind", help_text="What it is about, such as network or vm.")
    subject = filters.UUIDFilter("subject", help_text="The UUID of what it is about.")
    search = filters.CharFilter("title", "icontains", help_text="Part of the title.")


class Jobs(Resource):
    """What was asked of hosts, how far it is and how it ended. Newest first."""

    model = Job
    serializer_class = JobShown
    filterset_class = JobFilter
    pagination_class = Newest

    def shown(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        rows = rows.prefetch_related("project")
        return rows.defer("payload", "traceback") if self.action == "list" else rows

    def get_serializer_class(self) -> type[serializers.Serializer[Any]]:
        return JobShown if self.action == "list" else JobWithSteps

    @starts(JobWithSteps)
    @action(detail=True, methods=["post"])
    @once
    def retry(self, request: Request, uuid: UUID) -> Response:
        """Bring the subject of an ended job, and all it waits for, to its host again."""
        self.body(Nothing)
        return self.accepted(retry_job(actor_of(request), uuid))

    def job_of(self, shown: Job) -> Job:
        return shown
