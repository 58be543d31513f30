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
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Port = Literal["open", "refused", "silent"]

_ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_IP_BIND_ADDRESS_NO_PORT = 24
_SOLICIT, _ADVERT = 135, 136
_ONLINK_HOPS = 255
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")


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


def who_has6(bridge: str, mac: str, address: str, seconds: float = 1.0) -> str:
    """The same of an IPv6 address, by neighbour solicitation (RFC 4861, section 4.3)."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
        try:
            icmp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode())
            icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _ONLINK_HOPS)
            index = socket.if_nametoindex(bridge)
        except OSError:
            return ""
        wanted = IPv6Address(address).packed
        own = bytes([1, 1]) + bytes.fromhex(mac.replace(":", ""))
        asking = bytes([_SOLICIT, 0, 0, 0, 0, 0, 0, 0]) + wanted + own
        group = str(IPv6Address(_SOLICITED_NODE + wanted[-3:]))
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(OSError):  # the bridge may be down
                icmp.sendto(asking, (group, 0, 0, index))
            if found := _advert(icmp, wanted, min(left, seconds / 2)):
                return found
    return ""


def _advert(icmp: socket.socket, wanted: bytes, seconds: float) -> str:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if not select.select([icmp], [], [], left)[0]:
            return ""
        data = icmp.recv(2048)
        # The option behind the target is the answerer's own MAC (section 4.6.1).
        if data[0] == _ADVERT and data[8:24] == wanted and data[24:26] == b"\2\1":
            return data[26:32].hex(":")
    return ""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


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
    with socket.socket(_family(address), socket.SOCK_STREAM) as client:
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
    with socket.socket(_family(address), socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        try:
            client.bind((source, 0))
            client.connect((address, port))
            client.send(b"")
            client.recv(1)
        except OSError as error:
            return "refused" if error.errno == errno.ECONNREFUSED else "silent"
    return "open"
