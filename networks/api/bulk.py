"""REST: many forwards in one request."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, Shown
from kvmweb.api.once import once
from kvmweb.api.schema import takes
from kvmweb.api.views import actor_of, job_url, user_of
from kvmweb.core.errors import Several
from networks import actions
from networks.actions.bulk import MOST_FORWARDS
from networks.api.forwards import Forwards, ForwardShown, NewForward
from networks.api.parts import reservation_of


class NewForwards(Body):
    forwards = serializers.ListField(
        child=NewForward(), allow_empty=False, max_length=MOST_FORWARDS
    )


class ForwardsShown(Shown):
    forwards = ForwardShown(many=True, help_text="In the order of the request.")
    jobs = serializers.ListField(
        child=serializers.UUIDField(), help_text="One for each network that changes."
    )


class BulkForwards(Forwards):
    """Public ports that lead to a reservation."""

    @previewed
    @takes(NewForwards, ForwardsShown)
    @action(detail=False, methods=["post"])
    @once
    def bulk(self, request: Request) -> Response:
        """Open many public ports: all of them or none. `Location` is the first of the jobs."""
        entries = self.body(NewForwards)["forwards"]
        by_vm = {at: entry.pop("vm") for at, entry in enumerate(entries)}
        targets: dict[UUID, UUID] = {}
        for at, vm in by_vm.items():
            if vm is not None:
                if vm not in targets:
                    targets[vm] = reservation_of(user_of(request), vm, f"forwards.{at}.vm")
                entries[at]["reservation"] = targets[vm]
        try:
            made = actions.add_forwards(actor_of(request), entries)
        except Several as error:
            raise _in_words_of_the_request(error, by_vm) from error
        return self._shown_all([forward.pk for forward in made])

    def _shown_all(self, keys: list[int]) -> Response:
        rows = {row.pk: row for row in self.get_queryset().filter(pk__in=keys)}
        shown = [rows[key] for key in keys]
        jobs = {row.job.pk: row.job for row in shown}
        data = {"forwards": shown, "jobs": [job.uuid for job in jobs.values()]}
        location = job_url(next(iter(jobs.values())))
        answer = ForwardsShown(data, context=self.get_serializer_context()).data
        return Response(answer, status.HTTP_202_ACCEPTED, headers={"Location": location})


def _in_words_of_the_request(error: Several, by_vm: dict[int, Any]) -> Several:
    """Who named a VM never heard of its reservation."""
    for each in error.errors:
        place, _, field = each.field.removeprefix("forwards.").partition(".")
        if field == "reservation" and by_vm[int(place)] is not None:
            each.field = f"forwards.{place}.vm"
    return Several(error.errors)
