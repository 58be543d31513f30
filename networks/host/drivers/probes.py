"""Trying what a packet would meet at a guest: who answers for an address, and what on a port.

Probes come from the host itself and are seen by the guest: one ARP request, one TCP handshake that
is closed at once, or one empty datagram.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Literal

Port = Literal["open", "refused", "silent"]

_ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_IP_BIND_ADDRESS_NO_PORT = 24


def who_has(bridge: str, mac: str, own: str, address: str, seconds: float = 1.0) -> str:
    """The MAC that answers for `address` on the bridge (RFC 826); empty when nobody does."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as frames:
        try:
            frames.bind((bridge, 0))
        except OSError:
            return ""
        source = bytes.fromhex(mac.replace(":", ""))
        own_ip, wanted = IPv4Address(own).packed, IPv4Address(address).packed
        asking = _ARP.pack(1, 0x0800, 6, 4, _REQUEST, source, own_ip, bytes(6), wanted)
        frame = _BROADCAST + source + struct.pack("!H", _ETH_P_ARP) + asking
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(OSError):  # the bridge may be down
                frames.send(frame)
            if found := _reply(frames, wanted, min(left, seconds / 2)):
                return found
    return ""


def _reply(frames: socket.socket, wanted: bytes, seconds: float) -> str:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if not select.select([frames], [], [], left)[0]:
            return ""
        try:
            data = frames.recv(2048)
        except OSError:
            return ""
        if len(data) >= 42:
            _, _, _, _, kind, mac, address, _, _ = _ARP.unpack_from(data, 14)
            if kind == _REPLY and address == wanted:
                return str(mac.hex(":"))
    return ""


def tcp_port(address: str, port: int, source: str, seconds: float = 1.5) -> Port:
    """What a handshake from `source`, an address of the host, ends in."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(seconds)
        client.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            client.bind((source, 0))
            client.connect((address, port))
        except OSError as error:
            return "refused" if error.errno == errno.ECONNREFUSED else "silent"
    return "open"


def udp_port(address: str, port: int, source: str, seconds: float = 0.7) -> Port:
    """An empty datagram: "open" only if something is said back, "refused" if ICMP says so."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        try:
            client.bind((source, 0))
            client.connect((address, port))
            client.send(b"")
            client.recv(1)
        except OSError as error:
            return "refused" if error.errno == errno.ECONNREFUSED else "silent"
    return "open"
