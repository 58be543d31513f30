"""Kernel names, made from row numbers in this one place.

Linux interface names fit 15 bytes (IFNAMSIZ 16, linux/if.h). The prefixes are a contract with the
ruleset: `kw*` is a bridge of ours and `kt*` a guest port, and no rule ever names a single one of
them. What connects a network's own router has the bridge's name with an ending.
"""

from __future__ import annotations

BRIDGE_PREFIX = "kw"
PORT_PREFIX = "kt"
_PORT, _LINK = "-g", "-r"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LIMIT = 36**12


def bridge(number: int) -> str:
    """The bridge of network `number`: `kw` and the number in base 36."""
    return BRIDGE_PREFIX + _base36(number)


def router_port(bridge: str) -> str:
    """Where the network's own router is plugged into its bridge."""
    return f"{bridge}{_PORT}"


def router_link(bridge: str) -> str:
    """The host's end of what connects it to the network's own router."""
    return f"{bridge}{_LINK}"


def is_cable(interface: str) -> bool:
    """Whether it is the host's end of a cable to a network's own router."""
    return interface.startswith(BRIDGE_PREFIX) and interface.endswith((_PORT, _LINK))


def network_of(interface: str) -> str | None:
    """The bridge of the network whose routed traffic an interface of ours would carry, None for
    one that carries none."""
    if interface.startswith(BRIDGE_PREFIX):
        return None if interface.endswith(_PORT) else interface.removesuffix(_LINK)
    return None


def port(number: int) -> str:
    """The guest port (tap) of reservation `number`: `kt` and the number in base 36."""
    return PORT_PREFIX + _base36(number)


def bridge_mac(number: int) -> str:
    """A fixed, locally administered MAC for the bridge, so that it never takes and changes with a
    port's.
    """
    if not 0 < number < 1 << 40:
        raise ValueError(f"no MAC for number {number}")
    return ":".join(f"{octet:02x}" for octet in (0x56, *number.to_bytes(5, "big")))


def _base36(number: int) -> str:
    if not 0 < number < _LIMIT:
        raise ValueError(f"no kernel name for number {number}")
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits
