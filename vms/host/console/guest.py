"""What a console leads to on the host, and why it could not be had."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from kvmweb.core.errors import HostBusy, HostError

Kind = Literal["graphical", "serial"]

CHUNK = 64 << 10


class Wanted(msgspec.Struct, frozen=True):
    """What the panel asks for: a console of this VM, brought to one of these addresses under the
    number `dial`."""

    vm: str
    kind: Kind
    dial: str
    addresses: tuple[str, ...]


class Guest(Protocol):
    """One person's way to a guest's console."""

    async def read(self) -> bytes:
        """What the guest said next; nothing once it has ended."""

    async def write(self, data: bytes) -> None:
        """Say this to the guest; waits while it does not listen."""

    async def close(self) -> None: ...


class VmOff(HostError):
    """There is no guest that runs."""

    code = "vm_off"


class ConsoleMissing(HostError):
    """The guest runs without this kind of console."""

    code = "console_missing"


class ConsoleTaken(HostError):
    """Somebody on the host has it."""

    code = "console_taken"


class ConsoleBusy(HostBusy):
    """libvirt did not give it in time."""

    code = "console_busy"
