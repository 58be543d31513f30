"""What the firewall refuses to or from guests of a network that wants to know it. Pure.

Packets that are accepted never come here: a chain jumps to one of these right before it refuses,
and only for an interface in `logged`. A packet is noted in a set that forgets what was not seen for
`KEPT` seconds. What is added to these sets is limited, for each guest and for its network, so that
a flood from addresses that are made up costs little and leaves room for all others; what is known
already is counted without that limit. The lookup that finds it there counts as well as the update
after it does: `packets` takes that back.

A port is told of TCP and UDP. Of all else the same place of the key has the first two bytes of the
header, type and code of ICMP, because nothing else in a key of this type is the same for every
packet. nft 1.0.6 has room for five fields in a key, so it does not say by which forward they came.
A forged ARP message is told by the addresses in it. What guests send to all of their network, which
nobody of the host answers, is not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from networks.host.elements import TABLE, Family, FieldType

Reason = Literal["closed", "source", "limit", "egress", "apart", "forged", "host"]

LOGGED = "logged"
ARP = "arp"
KEPT = 600
_SET = f"{{{{ type {{}}; flags dynamic,timeout; timeout {KEPT}s; }}}}"
_RATE = "{{ type {}; flags dynamic,timeout; timeout 1m; }}"
_NEW = "limit rate over 5/second burst 100 packets"
_NEW_OF_ALL = "limit rate over 25/second burst 500 packets"
_RATES = ("note_guest", "note_guest6")
_PORTS = {"meta l4proto { tcp, udp }": "dport", "meta l4proto != { tcp, udp }": "sport"}
_VERSIONS: dict[str, FieldType] = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}
_FAMILIES: tuple[Family, ...] = ("inet", "bridge")


@dataclass(frozen=True, slots=True)
class Notes:
    """Sets of what was refused, one for each version of IP or one for ARP, and the chain that fills
    them. `outward` says that a guest sent it. In the bridge table the interface of a key is a
    guest's port."""

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
        if self.what == ARP:
            return ((self.named(ARP), ("ifname", "ipv4_addr", "ipv4_addr")),)
        return tuple(
            (self.named(word), ("ifname", kind, kind, "inet_proto", "inet_service"))
            for word, kind in _VERSIONS.items()
        )

    def named(self, word: str) -> str:
        """The set of what is `ip` or `ip6`."""
        return f"no_{self.what}" + ("6" if word == "ip6" else "")

    @property
    def limits(self) -> tuple[str, ...]:
        """What ends the chain where too much is new."""
        if self.family == "bridge":
            return (f"update @note_rate {{ {self.interface} {_NEW} }} return",)
        end = "saddr" if self.outward else "daddr"
        guests = (
            f"update @{name} {{ {self.interface} . {word} {end} {_NEW} }} return"
            for word, name in zip(_VERSIONS, _RATES, strict=True)
        )
        return (*guests, f"update @note_rate {{ {self.interface} {_NEW_OF_ALL} }} return")

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
    Notes("inet", "host", "host", outward=True),
    Notes("bridge", "guarded", "closed", outward=False),
    Notes("bridge", "forged", "forged", outward=True),
    Notes("bridge", ARP, "forged", outward=True),
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
    made += [f"add set {family} {TABLE} note_rate {_RATE.format('ifname')}" for family in _FAMILIES]
    kinds = zip(_RATES, _VERSIONS.values(), strict=True)
    return made + [
        f"add set inet {TABLE} {name} {_RATE.format(f'ifname . {kind}')}" for name, kind in kinds
    ]


def _rules(notes: Notes) -> tuple[str, ...]:
    """First what is known, then the limit, then what is new."""
    if notes.what == ARP:
        key, name = "iifname . arp saddr ip . arp daddr ip", notes.named(ARP)
        update = f"update @{name} {{ {key} counter }}"
        return f"{key} @{name} {update} return", *notes.limits, update
    known, new = [], []
    for word in _VERSIONS:
        for which, port in _PORTS.items():
            key, name = notes.key(word, port), notes.named(word)
            update = f"update @{name} {{ {key} counter }}"
            known.append(f"{which} {key} @{name} {update} return")
            new.append(f"{which} {update}")
    return (*_UNTOLD.get(notes.what, ()), *known, *notes.limits, *new)
