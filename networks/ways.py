"""Places outside that a network lists, as people write them. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from kvmweb.core.errors import Invalid
from networks.limits import MOST_WAYS_OUT

FIELD = "egress_rules"
_PROTOCOLS = ("any", "tcp", "udp", "icmp")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_REMEDY = "For example: tcp 443 to 198.51.100.0/24 as “198.51.100.0/24 tcp 443”."


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """Where guests may go: a subnet, a protocol or `any`, and ports such as `443` or `80-90`; no
    ports means all."""

    cidr: str
    protocol: str = "any"
    ports: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.cidr, self.protocol, self.ports) if part)

    @property
    def range(self) -> tuple[int, int]:
        """The first and the last port; 0 and 0 for all."""
        if not self.ports:
            return 0, 0
        first, _, last = self.ports.partition("-")
        return int(first), int(last or first)


def read_rules(rows: Iterable[Mapping[str, str]]) -> tuple[Rule, ...]:
    """Rules as a program sends them, each once; Invalid names what is wrong with which."""
    listed = list(rows)
    if len(listed) > MOST_WAYS_OUT:
        raise Invalid(f"A network lists {MOST_WAYS_OUT} places at most.", field=FIELD)
    rules = [_rule(row["cidr"], row.get("protocol", "any"), row.get("ports", "")) for row in listed]
    return tuple(dict.fromkeys(rules))


def read_lines(text: str) -> tuple[Rule, ...]:
    """Rules as a person writes them: a line each, `CIDR [protocol [ports]]`."""
    rows = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) > 3:
            raise _invalid(f"“{line.strip()[:60]}” has more than a subnet, a protocol and ports.")
        names = ("cidr", "protocol", "ports")
        rows.append(dict(zip(names, words, strict=False)))
    return read_rules(rows)


def _rule(cidr: str, protocol: str, ports: str) -> Rule:
    word = protocol.strip().lower()
    if word not in _PROTOCOLS:
        raise _invalid(f"There is no protocol “{protocol[:20]}”. Use {', '.join(_PROTOCOLS)}.")
    if ports.strip() and word not in ("tcp", "udp"):
        raise _invalid(f"Only TCP and UDP have ports, {word} has none.")
    return Rule(_subnet(cidr), word, _ports(ports.strip()))


def _subnet(text: str) -> str:
    try:
        return str(ip_network(text.strip()))
    except ValueError:
        pass
    try:
        whole = ip_network(text.strip(), strict=False)
    except ValueError:
        raise _invalid(f"“{text[:50]}” is not an IP address or subnet.") from None
    raise _invalid(f"{text.strip()} is an address inside {whole}.")


def _ports(text: str) -> str:
    if not text:
        return ""
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise _invalid(f"“{text[:20]}” is neither a port nor a range of ports, such as 80-90.")
    return str(first) if first == last else f"{first}-{last}"


def _invalid(message: str) -> Invalid:
    return Invalid(message, field=FIELD, code="invalid_egress_rule", remedy=_REMEDY)
