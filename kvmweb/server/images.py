"""The worker of the image library in one process: `python -m kvmweb.server.images`.

It reads the panel's settings and nothing else of the panel: no database, no Django apps.
"""

from __future__ import annotations

import sys
from pathlib import Path

from django.conf import settings

from kvmweb.host.app import set_up_logging
from kvmweb.host.config import HostConfig, HostPaths
from kvmweb.jobs.own import LIBRARY, QUEUES, own_key
from vms.library.layout import Library
from vms.library.tasks import serve


def config() -> HostConfig:
    """It speaks with the panel as a host does."""
    state = Path(settings.STATE_DIR) / "image-library"
    return HostConfig(
        name=LIBRARY,
        broker=settings.CELERY_BROKER_URL,
        key=own_key(LIBRARY),
        paths=HostPaths.under(state, state / "run"),
    )


def main() -> int:
    """Serve the queue of the library until told to end; returns the exit code."""
    set_up_logging("images")
    return serve(config(), Library(Path(settings.KVMWEB_IMAGES)), queue=QUEUES[LIBRARY])


if __name__ == "__main__":
    sys.exit(main())
