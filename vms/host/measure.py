"""What libvirt counts of a guest, and what that means per second.

libvirt's numbers are absolute and begin anew with every QEMU, disk and NIC. A reading keeps them by
device and with the number of the run they are of, so that two readings give a sample whatever began
anew in between. Names: virConnectGetAllDomainStats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from kvmweb.metrics.series import Values

Counts: TypeAlias = tuple[int, ...]

_KIB = 1024
_NANOSECONDS = 1e9
_DISK = ("rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs")
_NIC = ("rx.bytes", "tx.bytes", "rx.pkts", "tx.pkts", "rx.drop", "tx.drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was counted of one guest at `at` (seconds of a clock that only goes on). `run` tells one
    start of it from the next; sizes are in bytes, `cpu` is in nanoseconds. None: not told."""

    run: int
    at: float
    cpu: int | None = None
    memory: int | None = None
    memory_used: int | None = None
    memory_host: int | None = None
    disks: dict[str, Counts]
    nics: dict[str, Counts]


def reading(stats: Mapping[str, Any], *, run: int, at: float) -> Reading:
    """From what libvirt says of one domain; what it left out, because the guest was busy, is None
    or empty."""
    usable, available = stats.get("balloon.usable"), stats.get("balloon.available")
    known = usable is not None and available is not None
    return Reading(
        run=run,
        at=at,
        cpu=stats.get("cpu.time"),
        memory=_bytes(stats.get("balloon.current")),
        memory_used=_bytes(max(0, available - usable)) if known else None,  # type: ignore[operator]
        memory_host=_bytes(stats.get("balloon.rss")),
        disks=dict(_devices(stats, "block", _DISK)),
        nics=dict(_devices(stats, "net", _NIC)),
    )


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * _KIB


def _devices(
    stats: Mapping[str, Any], kind: str, counts: tuple[str, ...]
) -> Iterator[tuple[str, Counts]]:
    """By name. The files a disk stands on are listed after it by its name too, without counts of
    their own worth adding."""
    for number in range(stats.get(f"{kind}.count", 0)):
        of = f"{kind}.{number}."
        name = stats.get(f"{of}name")
        if name is not None and f"{of}{counts[0]}" in stats:
            yield name, tuple(stats.get(of + count, 0) for count in counts)


def with_memory_of(before: Reading | None, now: Reading) -> Reading:
    """A reading that was taken without asking about memory, with what was known of it."""
    if before is None or before.run != now.run or now.memory is not None:
        return now
    return replace(
        now,
        memory=before.memory,
        memory_used=before.memory_used,
        memory_host=before.memory_host,
    )


def sample(before: Reading, after: Reading) -> Values | None:
    """The figures of `kvmweb.metrics.series.VM` from one reading to the next; None when no time
    passed between them."""
    seconds = after.at - before.at
    if seconds <= 0:
        return None
    same = before.run == after.run
    disks = _per_second(before.disks if same else {}, after.disks, len(_DISK), seconds)
    nics = _per_second(before.nics if same else {}, after.nics, len(_NIC), seconds)
    received, sent, packets_received, packets_sent, dropped_in, dropped_out = nics
    return (
        _cores(before.cpu if same else 0, after.cpu, seconds),
        after.memory,
        after.memory_used,
        after.memory_host,
        *disks,
        received,
        sent,
        packets_received,
        packets_sent,
        None if dropped_in is None or dropped_out is None else dropped_in + dropped_out,
    )


def _cores(before: int | None, after: int | None, seconds: float) -> float | None:
    if before is None or after is None:
        return None
    return (after - before if after >= before else after) / _NANOSECONDS / seconds


def _per_second(
    before: Mapping[str, Counts], after: Mapping[str, Counts], count: int, seconds: float
) -> Values:
    """What all devices did together. A device that is new, or whose numbers fell, began anew."""
    if not after:
        return (None,) * count
    return tuple(
        sum(_added(before.get(name), counts, at) for name, counts in after.items()) / seconds
        for at in range(count)
    )


def _added(before: Counts | None, after: Counts, at: int) -> int:
    began_anew = before is None or any(new < old for old, new in zip(before, after, strict=True))
    return after[at] if began_anew or before is None else after[at] - before[at]
