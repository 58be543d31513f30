"""`python -m kvmweb.host net`: the network worker."""

from __future__ import annotations

from functools import partial

from kvmweb.host.config import HostConfig
from kvmweb.host.program.networks import network_reconciler
from networks.host.tasks import serve, watched


def run(config: HostConfig) -> int:
    """Serve until told to end."""
    return serve(config, partial(network_reconciler, config), partial(watched, config))
