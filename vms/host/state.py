"""What is on a host of one VM: what the drivers observed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vms.host.layout import Layout
from vms.host.spec import RunsUnder

PowerState = Literal["running", "off", "paused", "crashed", "stopping", "saved"]
_ACTIVE = frozenset({"running", "paused", "stopping"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainState:
    """A domain as libvirt has it. `xml` is the persistent definition, empty when there is none.

    `live_xml` is what runs now, empty when it is off. "saved" is off with its memory on disk.
    """

    state: PowerState
    reason: str = ""
    xml: str = ""
    live_xml: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in _ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class VmState:
    """What there is of one VM on this host.

    `files` holds the size in bytes of all in its folder by name (a disk's is its virtual size),
    `seed` the digest of what is on the seed, `images` the sha256 of those already in the cache.
    `snapshots` holds, by file, the internal snapshots of each disk with the bytes the guest saw
    then; `used` the bytes that each file takes, `free` those that the file system has left.
    `backs` is how often the VM went back.
    `accelerator` is what guests run under when the spec leaves it to the host.
    """

    layout: Layout
    accelerator: RunsUnder
    domain: DomainState | None = None
    files: dict[str, int] = field(default_factory=dict)
    seed: str = ""
    images: frozenset[str] = frozenset()
    snapshots: dict[str, dict[str, int]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    free: int = 1 << 60
    backs: int = 0

    @property
    def power(self) -> PowerState:
        return self.domain.state if self.domain else "off"

    @property
    def is_active(self) -> bool:
        return self.domain is not None and self.domain.is_active

    @property
    def keeps_memory(self) -> bool:
        """Whether a guest is under way, so that nothing may be pulled away from under it."""
        return self.is_active or self.power == "saved"
