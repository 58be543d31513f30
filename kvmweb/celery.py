"""The Celery app of the control plane: one queue, one worker that stays, beat as its clock.

The job rows are the truth; a message is only a doorbell. So results are not kept, messages are
acknowledged late, and whatever gets lost is rung again by the sweep.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvmweb.settings.single")

app = Celery("kvmweb")
app.config_from_object("kvmweb.celeryconfig")
app.autodiscover_tasks()
