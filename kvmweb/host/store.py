"""The newest spec of every subject, kept on the host's own disk.

A host puts everything back from here without the control plane. Specs of one subject are ordered by
(epoch, generation); after a delete its absent spec stays as a tombstone, so that a late redelivery
of an older one brings nothing back. One folder per kind: `<root>/<kind>/<uuid>.json`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from kvmweb.core.errors import Invalid
from kvmweb.host.files import flush_folder, write_durably

log = logging.getLogger(__name__)

TOMBSTONES_KEPT = timedelta(days=30)


class Spec(Protocol):
    """What all specs have in common."""

    @property
    def subject(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def present(self) -> bool: ...


S = TypeVar("S", bound=Spec)


class SpecStore(Generic[S]):
    """The specs of one kind. Whoever calls `accept` holds the subject: this is not a lock."""

    def __init__(self, root: Path, kind: str, spec_type: type[S]) -> None:
        self._folder = root / kind
        self._type = spec_type

    def accept(self, spec: S) -> S:
        """Store `spec` unless what is stored is newer; returns the newest of the two.

        An equal (epoch, generation) is a redelivery and is accepted again.
        """
        path = self._path(spec.subject)
        stored = self._read(path)
        if stored is not None and _order(stored) > _order(spec):
            return stored
        if stored != spec:
            write_durably(path, msgspec.json.encode(spec))
        return spec

    def get(self, subject: str) -> S | None:
        """The stored spec of `subject`, a tombstone included."""
        return self._read(self._path(subject))

    def present(self) -> list[S]:
        """Every spec that says something should be there, in the order of their subjects."""
        return [spec for spec in self._all() if spec.present]

    def absent(self) -> list[S]:
        """The tombstones."""
        return [spec for spec in self._all() if not spec.present]

    def prune(self, older_than: timedelta = TOMBSTONES_KEPT) -> int:
        """Drop tombstones that no redelivery can reach any more; returns how many."""
        limit = time.time() - older_than.total_seconds()
        dropped = 0
        for spec in self.absent():
            path = self._path(spec.subject)
            if path.stat().st_mtime < limit:
                path.unlink()
                dropped += 1
        if dropped:
            flush_folder(self._folder)
        return dropped

    def forget(self, subject: str) -> None:
        """Drop a subject without a trace: only for removing kvmweb from the host."""
        self._path(subject).unlink(missing_ok=True)

    def _all(self) -> Iterator[S]:
        for path in sorted(self._folder.glob("*.json")):
            if (spec := self._read(path)) is not None:
                yield spec

    def _read(self, path: Path) -> S | None:
        try:
            spec = msgspec.json.decode(path.read_bytes(), type=self._type)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._put_aside(path, str(error))
            return None
        if spec.subject != path.stem:
            self._put_aside(path, f"it is the spec of {spec.subject}")
            return None
        return spec

    def _put_aside(self, path: Path, reason: str) -> None:
        aside = path.with_name(f"{path.stem}.broken-{time.time_ns()}")
        path.rename(aside)
        log.error("spec_set_aside file=%s reason=%s", aside, reason)

    def _path(self, subject: str) -> Path:
        return self._folder / f"{subject_name(subject)}.json"


def subject_name(subject: str) -> str:
    """`subject` as part of a file's name. Raises Invalid for what is not a UUID."""
    try:
        return str(UUID(subject))
    except ValueError as error:
        raise Invalid(f"{subject!r} is not a subject's UUID", field="subject") from error


def _order(spec: Spec) -> tuple[int, int]:
    return spec.epoch, spec.generation
