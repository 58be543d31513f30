"""What others changed on this host, told to the panel once, and that it is over when it is.

It goes through the outbox, so it arrives although Redis was away. A difference that stays, because
it cannot or is not to be repaired, is found at every look and told once. What was told is
remembered on disk, so that a new process tells when it is over.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from kvmweb.host.files import write_durably
from kvmweb.host.post import DRIFTED, Outbox
from networks.host.reconcile import Drift

log = logging.getLogger(__name__)

_LISTED = 50


class DriftNews:
    """For the watcher's thread. `record` holds what was told and is not over, by its subject."""

    def __init__(self, outbox: Outbox, record: Path) -> None:
        self._outbox = outbox
        self._record = record
        self._open = _read(record)

    def tell(self, drift: Drift) -> None:
        """Tell what differed, unless that is what was told last."""
        for sentence in drift.missing:
            log.info("drift subject=%s missing=%s", drift.subject, sentence)
        said = "\n".join((*drift.missing, drift.message))
        if drift.again and self._open.get(drift.subject) == said:
            return
        self._put(drift)
        if drift.repaired:
            self._open.pop(drift.subject, None)
        else:
            self._open[drift.subject] = said
        self._remember()

    def over(self, differing: frozenset[str]) -> None:
        """After a look at everything: what differed before and does no longer is over."""
        gone = self._open.keys() - differing
        for subject in gone:
            self._put(Drift(subject, (), repaired=True))
            del self._open[subject]
        if gone:
            self._remember()

    def _put(self, drift: Drift) -> None:
        self._outbox.put(
            DRIFTED,
            {
                "id": str(uuid4()),
                "at": datetime.now(UTC).isoformat(),
                "subject": drift.subject,
                "missing": drift.missing[:_LISTED],
                "repaired": drift.repaired,
                "only_told": drift.only_told,
                "message": drift.message[:1000],
            },
        )

    def _remember(self) -> None:
        write_durably(self._record, json.dumps(self._open).encode())


def _read(record: Path) -> dict[str, str]:
    try:
        found = json.loads(record.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(subject): str(said) for subject, said in found.items()}
