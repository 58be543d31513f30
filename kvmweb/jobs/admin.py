"""Operators: jobs and what was reported about them."""

from __future__ import annotations

from django.contrib import admin

from kvmweb.jobs.actions import retry_job
from kvmweb.jobs.models import Job, JobEvent
from kvmweb.projects.operators import Button, OperatorAdmin, OperatorInline


class JobEventInline(OperatorInline):
    model = JobEvent
    fields = ("seq", "at", "key", "sentence", "state", "percent", "detail")
    show_change_link = False


@admin.register(Job)
class JobAdmin(OperatorAdmin):
    hidden = ("payload",)
    page = "job"
    buttons = (
        Button(
            "retry",
            "Retry",
            lambda actor, job: retry_job(actor, job.uuid),
            is_useful=lambda job: job.has_failed,
        ),
    )
    list_display = ("title", "status", "project", "host_name", "attempt", "created_at", "code")
    list_select_related = ("project",)
    list_filter = ("status", "kind", "host_name", "created_at")
    search_fields = ("title", "uuid", "subject", "subject_name", "code", "message")
    inlines = (JobEventInline,)


@admin.register(JobEvent)
class JobEventAdmin(OperatorAdmin):
    list_display = ("job", "seq", "at", "sentence", "state", "percent")
    list_select_related = ("job",)
    list_filter = ("state", "at")
    search_fields = ("sentence", "key", "job__uuid", "job__title")
