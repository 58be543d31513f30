"""What lists of a network say of a packet: where guests may go, and who may come to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from networks.host.explain.steps import Step, broken, listed, ok, unknown
from networks.host.listed import ICMP6, NUMBERS, permits
from networks.host.spec import ListedSpec, NetworkSpec, ReservationSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A packet that is asked about: its other end, its protocol and port. What is empty or 0 is
    not known."""

    address: str = ""
    protocol: str = "tcp"
    port: int = 0

    @property
    def needs_port(self) -> bool:
        """Whether a rule for ports cannot be judged for want of the port."""
        return self.protocol in ("tcp", "udp") and not self.port

    @property
    def what(self) -> str:
        """The protocol and port, as people say it."""
        name = "ping" if self.protocol == "icmp" else f"{self.protocol.upper()} port {self.port}"
        return f"any port of {self.protocol.upper()}" if self.needs_port else name

    def admitted(self, rules: Iterable[ListedSpec]) -> ListedSpec | None:
        """The first rule that lets it pass."""
        other = ip_address(self.address)
        number = NUMBERS[self.protocol]
        if self.protocol == "icmp" and other.version == 6:
            number = ICMP6
        return next((r for r in rules if permits((r,), number, other, self.port)), None)


def egress(spec: NetworkSpec, asked: Asked) -> Step:
    """Whether the network's list has the destination."""
    title = "The destination is on the network's list"
    if spec.egress is None:
        return ok("egress", title, "The network has no list: its guests may go everywhere.")
    if not asked.address:
        found = f"Guests may go to {rule_words(spec.egress)}. Name a destination to be sure."
        return unknown("egress", title, found)
    rule = asked.admitted(spec.egress)
    if rule is not None:
        return ok("egress", title, f"{asked.address} is listed: {rule_words((rule,))}.")
    return broken(
        "egress",
        title,
        f"{asked.address}, {asked.what}, is not listed.",
        wanted=f"One of: {rule_words(spec.egress)}.",
        remedy="Add this destination to where the network's guests may go.",
    )


def opened(spec: NetworkSpec, guest: ReservationSpec, asked: Asked) -> Step:
    """Whether a rule lets this come to a guest that is reachable as a whole."""
    title = "A rule lets it in"
    family = ":" in guest.address
    rules = tuple(r for r in (*spec.inbound, *guest.inbound) if (":" in r.cidr) == family)
    remedy = f"Let {asked.what} in by a rule set of the network or of this guest."
    if not rules:
        return broken(
            "inbound",
            title,
            f"No rule opens anything of {guest.hostname}: all is closed until a rule opens it.",
            wanted="A rule that opens this port.",
            remedy=remedy,
        )
    if not asked.address or asked.needs_port:
        found = f"Open: {rule_words(rules, 'from')}. Name source, protocol and port to be sure."
        return unknown("inbound", title, found)
    rule = asked.admitted(rules)
    if rule is not None:
        found = f"{asked.address} may come in: {rule_words((rule,), 'from')}."
        return ok("inbound", title, found)
    return broken(
        "inbound",
        title,
        f"None of the rules lets {asked.address} in to {asked.what}.",
        wanted=f"One of: {rule_words(rules, 'from')}.",
        remedy=remedy,
    )


def rule_words(rules: Iterable[ListedSpec], way: str = "to") -> str:
    """Rules as people read them."""
    said = []
    for rule in rules:
        first, last = rule.first_port, rule.last_port
        ports = "" if not last else f" {first}" if first == last else f" {first}-{last}"
        said.append(f"{rule.protocol}{ports} {way} {rule.cidr}")
    return listed(tuple(said)) or "nothing at all"
