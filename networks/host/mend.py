"""Applying the remedy of a finding, because an operator asked for it.

The panel says which finding, never what to run: that is found here anew, so that a stolen key of
the broker runs nothing but the remedies this host would propose itself.
"""

from __future__ import annotations

import logging
import subprocess
from typing import Any

import msgspec
from celery import Celery

from kvmweb.core.envelope import Forged, open_
from kvmweb.core.errors import KvmwebError
from kvmweb.host.config import HostConfig
from kvmweb.host.post import MENDED, Outbox
from networks.host import survey
from networks.host.findings import Finding
from networks.host.firewalls import Command

log = logging.getLogger(__name__)

TASK = "networks.mend"
_SECONDS = 60


class _Asked(msgspec.Struct):
    """`id` is the panel's own for this request, `finding` that of the finding."""

    id: str
    finding: str


def add_mend_task(app: Celery, config: HostConfig, outbox: Outbox) -> None:
    """Register the task by which the panel asks."""

    @app.task(name=TASK)
    def mend(envelope: dict[str, Any]) -> None:
        try:
            asked = msgspec.convert(open_(config.key, envelope), _Asked)
        except (Forged, msgspec.ValidationError) as error:
            log.warning("message_dropped task=%s reason=%s", TASK, error)
            return
        message = mended(config, asked.finding)
        outbox.put(MENDED, {"id": asked.id, "ok": not message, "message": message})


def mended(config: HostConfig, finding: str) -> str:
    """Apply the remedy of a finding; returns why it is still there, nothing when it is not."""
    try:
        there = _find(config, finding)
        if there is None:
            return ""
        if not there.commands:
            return f"This host cannot do that by itself. {there.remedy}"
        for command in there.commands:
            if complaint := _run(command):
                return complaint
        left = _find(config, finding)
    except KvmwebError as error:
        return error.message
    return f"It was done, and yet: {left.found} {left.remedy}" if left is not None else ""


def _find(config: HostConfig, finding: str) -> Finding | None:
    found = survey.found(config.paths, config.uplinks)
    return next((one for one in found if one.id == finding), None)


def _run(command: Command) -> str:
    """Run one command; returns what is wrong, nothing when nothing is."""
    typed = " ".join(command)
    log.info("mending command=%s", typed)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except OSError as error:
        return f"“{typed}” could not be run: {error.strerror}."
    except subprocess.TimeoutExpired:
        return f"“{typed}” did not end within {_SECONDS} seconds."
    said = (done.stderr or done.stdout).strip()[-500:]
    return f"“{typed}” failed: {said}" if done.returncode else ""
