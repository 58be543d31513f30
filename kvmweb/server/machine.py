"""What this machine is: its address towards the outside, its name, its free ports."""

from __future__ import annotations

import errno
import json
import re
import socket
import subprocess
from dataclasses import dataclass
from typing import Any

_NOT_A_NAME = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 32
_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Outside:
    """The address the outside can reach, and a sentence when that is doubtful."""

    address: str
    warning: str = ""


def outside() -> Outside:
    """The source address of the default route; else the first global one; else 127.0.0.1."""
    for route in _ip("route", "show", "default"):
        if address := route.get("prefsrc") or _address_of(route.get("dev")):
            return Outside(str(address))
    if address := _address_of(None):
        return Outside(
            address, f"This machine has no default route; {address} is taken for its address."
        )
    return Outside(
        "127.0.0.1",
        "This machine has no address but 127.0.0.1, so forwards answer on the machine itself only.",
    )


def addresses() -> list[str]:
    """Every IPv4 address of this machine."""
    return [
        entry["local"]
        for link in _ip("address", "show")
        for entry in link.get("addr_info", ())
        if "local" in entry
    ]


def host_name() -> str:
    """The machine's name as a host's name: a-z, 0-9 and -."""
    plain = _NOT_A_NAME.sub("-", socket.gethostname().partition(".")[0].lower())
    return plain.strip("-")[:_LONGEST_NAME].strip("-") or "local"


def refusal(address: str, port: int) -> str:
    """Why nobody can listen at `address`:`port`; empty when it is free."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} of {address} is in use. Choose another one with --port."
        if error.errno == errno.EADDRNOTAVAIL:
            return f"This machine has no address {address}. Choose another one with --listen."
        return f"Cannot listen at {address}, port {port}: {error.strerror or error}."
    return ""


def _address_of(device: str | None) -> str:
    """The first global address of `device`, or of any interface."""
    words = ("dev", device) if device else ()
    for link in _ip("address", "show", "scope", "global", *words):
        if str(link.get("ifname", "")).startswith("kw"):
            continue
        for entry in link.get("addr_info", ()):
            if "local" in entry:
                return str(entry["local"])
    return ""


def _ip(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["ip", "-4", "-json", *words], capture_output=True, timeout=_SECONDS, check=False
    )
    if done.returncode or not done.stdout.strip():
        return []
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer
