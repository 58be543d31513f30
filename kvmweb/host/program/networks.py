"""The network reconciler of a host as its configuration wants it."""

from __future__ import annotations

from kvmweb.host.config import HostConfig
from networks.host.reconcile import NetworkReconciler


def network_reconciler(config: HostConfig) -> NetworkReconciler:
    """Opens its sockets when it is first used."""
    return NetworkReconciler(config.paths, uplinks=config.uplinks, key=config.key)
