"""The screen of a guest: QEMU's VNC server, which listens nowhere (`<listen type='none'/>`) and is
handed one end of a socket pair per console. QEMU serves several at once."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import libvirt

from vms.host.console.guest import CHUNK, ConsoleMissing, VmOff
from vms.host.drivers.domains import Domains

_NO_PASSWORD = libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH
_NOT_THERE = frozenset(
    {
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_INVALID_ARG,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    }
)


class Graphics:
    """One connection to QEMU's VNC server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.transport.abort()


async def open_graphics(domains: Domains, subject: str) -> Graphics:
    """Raises VmOff, ConsoleMissing and what libvirt's driver raises."""
    fd = await asyncio.to_thread(domains.ask, lambda connection: graphics_fd(connection, subject))
    reader, writer = await asyncio.open_connection(sock=_waiting_for_none(fd), limit=CHUNK)
    return Graphics(reader, writer)


def graphics_fd(connection: Any, subject: str) -> int:
    """One end of a new connection to the VNC server. Raises VmOff, ConsoleMissing."""
    domain = running(connection, subject)
    try:
        return int(domain.openGraphicsFD(0, _NO_PASSWORD))
    except libvirt.libvirtError as error:
        if error.get_error_code() in _NOT_THERE:
            raise missing("screen") from error
        raise


def _waiting_for_none(fd: int) -> socket.socket:
    found = graphics_socket(fd)
    found.setblocking(False)  # noqa: FBT003
    return found


def graphics_socket(fd: int) -> socket.socket:
    """The socket of a descriptor that is ours."""
    try:
        return socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        raise


def running(connection: Any, subject: str) -> Any:
    """The domain of a VM that runs. Raises VmOff."""
    try:
        domain = connection.lookupByUUIDString(subject)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            raise _off() from error
        raise
    if not domain.isActive():
        raise _off()
    return domain


def missing(what: str) -> ConsoleMissing:
    return ConsoleMissing(
        f"The guest runs without a {what}.",
        remedy="It gets one at its next start, unless it was taken out on the host by hand.",
    )


def _off() -> VmOff:
    return VmOff("The VM is off.", remedy="Start it to see its console.")
