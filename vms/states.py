"""The states people filter VMs by, as conditions on rows; they agree with `Vm.state`."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from kvmweb.jobs.models import Status
from kvmweb.ui.listing import Choice


def state_choices() -> list[Choice]:
    failed = Q(job__isnull=False, job__status__in=[Status.FAILED, Status.CRASHED])
    heard_after = timezone.now() - timedelta(seconds=settings.KVMWEB_HOST_SILENCE)
    answering = Q(host__monitor_seen_at__gte=heard_after)
    applied = Q(present=True, applied_generation__gte=F("generation"))
    at_rest = ~failed & answering & applied
    return [
        Choice("running", "Running", at_rest & Q(power_state="running")),
        Choice("off", "Off", at_rest & Q(power_state="off")),
        Choice("paused", "Paused", at_rest & Q(power_state="paused")),
        Choice("saved", "Saved", at_rest & Q(power_state="saved")),
        Choice("changing", "Changing", ~failed & answering & ~applied),
        Choice("needs_attention", "Needs attention", failed),
        Choice("host_not_answering", "Host not answering", ~failed & ~answering),
    ]
