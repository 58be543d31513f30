"""What the firewall refuses to or from guests of a network that wants to know it. Pure.

Packets that are accepted never come here: a chain jumps to one of these right before it refuses,
and only for an interface in `logged`. A packet is noted in a set that forgets what was not seen for
`KEPT` seconds. What a network adds to these sets is limited (`note_rate`), so that a flood from
addresses that are made up costs little and leaves room for all others; what is known already is
counted without that limit. The lookup that finds it there counts as well as the update after it
does: `packets` takes that back.

A port is told of TCP and UDP. Of all else the same place of the key has the first two bytes of the
header, type and code of ICMP, because nothing else in a key of this type is the same for every
packet. nft 1.0.6 has room for five fields in a key, so it does not say by which forward they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from networks.host.elements import TABLE, Family, FieldType

Reason = Literal["closed", "source", "limit", "egress", "apart", "forged"]

LOGGED = "logged"
KEPT = 600
_SET = f"{{{{ type {{}}; flags dynamic,timeout; timeout {KEPT}s; }}}}"
_RATE = "{ type ifname; flags dynamic,timeout; timeout 1m; }"
_NEW = "limit rate over 5/second burst 100 packets"
_PORTS = {"meta l4proto { tcp, udp }": "dport", "meta l4proto != { tcp, udp }": "sport"}
_VERSIONS: dict[str, FieldType] = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}
_FAMILIES: tuple[Family, ...] = ("inet", "bridge")


@dataclass(frozen=True, slots=True)
class Notes:
    """Two sets of what was refused, one for each version of IP, and the chain that fills them.
    `outward` says that a guest sent it. In the bridge table the interface of a key is a guest's
    port."""

    family: Family
    what: str
    reason: Reason
    outward: bool

    @property
    def chain(self) -> str:
        return f"note_{self.what}"

    @property
    def interface(self) -> str:
        return "iifname" if self.outward else "oifname"

    @property
    def sets(self) -> tuple[tuple[str, tuple[FieldType, ...]], ...]:
        """Their names and types of key."""
        return tuple(
            (self.named(word), ("ifname", kind, kind, "inet_proto", "inet_service"))
            for word, kind in _VERSIONS.items()
        )

    def named(self, word: str) -> str:
        """The set of what is `ip` or `ip6`."""
        return f"no_{self.what}" + ("6" if word == "ip6" else "")

    def key(self, word: str, port: str) -> str:
        """Where a packet has the fields of the key."""
        fields = (f"{word} saddr", f"{word} daddr", "meta l4proto", f"th {port}")
        return " . ".join((self.interface, *fields))


NOTES = (
    Notes("inet", "closed", "closed", outward=False),
    Notes("inet", "source", "source", outward=False),
    Notes("inet", "limit", "limit", outward=False),
    Notes("inet", "egress", "egress", outward=True),
    Notes("inet", "apart", "apart", outward=True),
    Notes("bridge", "guarded", "closed", outward=False),
    Notes("bridge", "forged", "forged", outward=True),
)
# A bridge floods what is for nobody or everybody. A guest's addresses of the link and what it asks
# before it has one say nothing.
_UNTOLD = {
    "guarded": ("oifname . ether daddr != @own_mac return",),
    "forged": ("ip saddr 0.0.0.0 return", "ip6 saddr { ::, fe80::/10 } return"),
}


def packets(counted: int) -> int:
    """How many packets were noted: the first counts once, all others twice."""
    return (counted + 1) // 2


def note(what: str) -> str:
    """The rule before the one that refuses."""
    notes = next(each for each in NOTES if each.what == what)
    return f"{notes.interface} @{LOGGED} jump {notes.chain}"


def chains() -> dict[tuple[Family, str], tuple[str, ...]]:
    """The chains that note, by where they are."""
    return {(each.family, each.chain): _rules(each) for each in NOTES}


def set_commands() -> list[str]:
    """The commands that make the sets."""
    made = [
        f"add set {notes.family} {TABLE} {name} {_SET.format(' . '.join(key))}"
        for notes in NOTES
        for name, key in notes.sets
    ]
    return [*made, *(f"add set {family} {TABLE} note_rate {_RATE}" for family in _FAMILIES)]


def _rules(notes: Notes) -> tuple[str, ...]:
    """First what is known, then the limit, then what is new."""
    known, new = [], []
    for word in _VERSIONS:
        for which, port in _PORTS.items():
            key, name = notes.key(word, port), notes.named(word)
            update = f"update @{name} {{ {key} counter }}"
            known.append(f"{which} {key} @{name} {update} return")
            new.append(f"{which} {update}")
    limit = f"update @note_rate {{ {notes.interface} {_NEW} }} return"
    return (*_UNTOLD.get(notes.what, ()), *known, limit, *new)
