"""Activity: the jobs a user may see, and one of them step by step."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from kvmweb.core.access import get_for, visible
from kvmweb.jobs.actions import retry_job
from kvmweb.jobs.models import UNFINISHED, Job, Status
from kvmweb.jobs.steps import fold
from kvmweb.jobs.subjects import kind_named
from kvmweb.ui.listing import Choice, listing
from kvmweb.ui.requests import actor_of, current_project, may_write, user_of

STATUSES = [
    Choice("under-way", "Under way", Q(status__in=UNFINISHED)),
    Choice("done", "Done", Q(status=Status.SUCCEEDED)),
    Choice("failed", "Failed", Q(status__in=[Status.FAILED, Status.CRASHED])),
]
LATEST = 5


def activity(request: HttpRequest) -> HttpResponse:
    rows = Job.objects.visible_to(user_of(request)).select_related("requested_by", "project")
    if project := current_project(request):
        rows = rows.filter(project=project)
    jobs = listing(
        request,
        rows,
        search=["title", "subject_name", "requested_by__username"],
        sorts={"created": ["-created_at"]},
        choices={"status": STATUSES},
    )
    return render(request, "jobs/activity.html", {"list": jobs})


def job(request: HttpRequest, uuid: str) -> HttpResponse:
    found = get_for(user_of(request), Job, uuid)
    context = {
        "job": found,
        "steps": fold(found.events.order_by("seq")),
        "subject_url": subject_url(request, found),
        "may_write": found.project_id is not None and may_write(request, found.project_id),
    }
    return render(request, "jobs/job.html", context)


def subject_url(request: HttpRequest, found: Job) -> str:
    """The page of what the job is about; empty when that is gone."""
    rows = visible(user_of(request), kind_named(found.kind).model)
    here = rows.filter(uuid=found.subject).exists()
    return reverse(found.kind, args=[found.subject]) if here else ""


@require_POST
def retry(request: HttpRequest, uuid: str) -> HttpResponse:
    return redirect("job", retry_job(actor_of(request), uuid).uuid)


def running(request: HttpRequest) -> HttpResponse:
    """What the popover of running jobs shows."""
    rows = Job.objects.visible_to(user_of(request))
    unfinished = list(rows.unfinished()[:LATEST])
    ended = rows.exclude(status__in=UNFINISHED).order_by("-finished_at")[: LATEST - len(unfinished)]
    context = {"unfinished": unfinished, "ended": ended}
    return render(request, "jobs/running.html", context)
