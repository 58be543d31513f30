"""What this host answers to the panel, by the name of the question. Everything here only reads."""

from __future__ import annotations

import time

from kvmweb.host.answering import Answers
from kvmweb.host.config import HostConfig


def answers(config: HostConfig) -> Answers:
    """Every question a host knows; each is answered in a thread of its own."""
    return {"hello": lambda _: {"name": config.name, "at": time.time()}}
