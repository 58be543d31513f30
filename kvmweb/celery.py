"""The Celery app of the control plane: one queue, one worker that stays, beat as its clock."""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings

from kvmweb.core.broker import SETTINGS
from kvmweb.core.hearing import keep_hearing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvmweb.settings.single")

app = Celery("kvmweb")
app.conf.update(
    SETTINGS,
    broker_url=settings.CELERY_BROKER_URL,
    beat_schedule={
        "expire": {"task": "networks.expire", "schedule": settings.KVMWEB_SWEEP_INTERVAL},
        "bin": {"task": "vms.empty_bin", "schedule": settings.KVMWEB_SWEEP_INTERVAL},
        "forget-uploads": {"task": "vms.forget_uploads", "schedule": 3600},
        "forget-metrics": {"task": "vms.forget_metrics", "schedule": 86_400},
        "sweep": {"task": "kvmweb.jobs.sweep", "schedule": settings.KVMWEB_SWEEP_INTERVAL},
    },
)
app.autodiscover_tasks()
keep_hearing(app)
