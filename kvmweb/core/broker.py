"""How every Celery app of kvmweb, the panel's and the hosts', stands to its broker.

A message is a doorbell or a copy: rows and stored specs are the truth. So results are not kept,
messages are acknowledged late and handed out one at a time, and the visibility timeout is far above
any task: a job whose worker died is sent again when its lease ends, long before Redis would
redeliver it.
"""

from __future__ import annotations

from typing import Any

CONTROL_QUEUE = "control"

TRANSPORT = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # For publishing: an absent broker is an answer, and every sender here knows what to do then.
    "max_retries": 1,
    "interval_start": 0.1,
}

SETTINGS: dict[str, Any] = {
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": TRANSPORT,
    "accept_content": ["json"],
    "task_serializer": "json",
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_publish_retry": False,
    "task_default_queue": CONTROL_QUEUE,
    "worker_prefetch_multiplier": 1,
    "worker_enable_remote_control": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "timezone": "UTC",
}
