"""What guests run under on this host: what its operator set, or what a trial showed."""

from __future__ import annotations

from kvmweb.host.config import HostConfig
from vms.host.accelerator import Found, probe


def accelerator(config: HostConfig) -> Found:
    """Takes some seconds where a trial is due: once since the machine started."""
    if config.accelerator != "auto":
        return Found(accelerator=config.accelerator, reason="Set in the configuration of the host.")
    return probe(config.trial_image, cache=config.paths.state / "accelerator.json")
