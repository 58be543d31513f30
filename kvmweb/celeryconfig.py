"""Celery's settings for the control plane.

Reasons for the transport options: docs/architecture.md, "Queues".
"""

from __future__ import annotations

from django.conf import settings

broker_url = settings.CELERY_BROKER_URL
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_transport_options = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # For publishing: an absent broker is an answer, not something a request waits for.
    "max_retries": 1,
    "interval_start": 0.1,
}
accept_content = ["json"]
task_serializer = "json"
task_ignore_result = True
task_acks_late = True
task_reject_on_worker_lost = True
task_default_queue = "control"
# A request never waits for an absent broker: the sweep rings again.
task_publish_retry = False
worker_prefetch_multiplier = 1
worker_enable_remote_control = False
worker_hijack_root_logger = False
timezone = "UTC"
beat_schedule = {
    "sweep": {"task": "kvmweb.jobs.sweep", "schedule": settings.KVMWEB_SWEEP_INTERVAL},
}
