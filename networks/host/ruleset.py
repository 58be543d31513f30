"""The one static ruleset and what a network adds to it as elements. Pure: text and values only.

The chains judge only what comes from or goes to a bridge of ours (`kw*`); guest ports are `kt*`.
The ct mark of a connection is the number of its forward, 0 is none. Some sets are more than data:

- `acct_in`/`acct_out` hold the number of a forward only while no connection of an earlier state of
  that forward can be alive, and `settled` likewise the bridge of a network. A change takes the
  number out first and puts it back once old connections were ended, so whoever comes after a
  crash sees in the kernel that they still have to be.
- `sifted` holds the number of a restricted forward only while no connection from an address that
  may not use it can be alive; narrowing its sources takes it out in the same way, and leaves the
  connections of all others as they are.
- `acct_new` counts the connections of a forward where its first packet is translated at the
  latest: what somebody refused on the way here is not one. It is no marker, and stays.
- `closed` holds the uplinks that forward only because we switched it on: what comes in there and
  is not for a network of ours is dropped, so the host does not become an open router. IPv6 can only
  be forwarded everywhere or nowhere: `shut` holds it while that was our doing.

Two networks reach each other only while both are in `pairs` with the other: each owns its half, so
what either takes back is gone. A guest whose network has no free way out (`egress`) may send to
what is listed for it; a forward is open to it only where its list has the public address, which is
asked before the translation. A guest that is reachable as a whole (its network is routed, or a
whole public address leads to it) is closed there but for what is listed for its address in
`open_all` and `open_ports`.

dnsmasq serves all networks and believes what a DHCP message says of its sender. So a guest's says
what its frame says: the MAC and the address it names are written over with the guest's own, and
what a relay would say is dropped. A forged message with a checksum loses its checksum's truth and
is dropped by the host. `dhcp_rate` is filled by packets alone: a guest asks ten times a second.
Bandwidth is limited by dropping what is over it, not by queues: a limit is an element like any
other, there before the guest's port is, and adds no delay. The kernel lets a byte limit that was
idle save up one second of it (nft_limit.c).

`dns_rate` likewise: one name server serves all tenants, and a guest asks it 500 times a second at
most. Only bridges in `dns` are served, so that no other name server of the host is ever reached.

IPv6 guests make their addresses themselves (see `kvmweb.core.ipv6`) and may use those alone, on the
link as well: `own6` judges what they send from, `own_nd` what they say of themselves to neighbours.
There is no DHCPv6: to learn who asks, dnsmasq would wait for that guest and leave all others alone.

A guest of a bridged network (`bridged`) is on a bridge of the host's owner and has its addresses
from outside, so its MAC alone is known. Where it is `guarded`, it is closed but for `let_all` and
`let_ports`, to all that comes by that bridge or is passed on by the host, whose own programs alone
reach it. This is told without conntrack, which knows frames
that are bridged only where the kernel was built for it (NF_CONNTRACK_BRIDGE). TCP is refused where
it begins; `let_in4` remembers what was let in, so that closing a port ends it too, and what it has
no room for is only not ended. `asked4` remembers for a minute whom the guest has sent UDP first,
so that the answer comes in. `through` holds bridges of others where `closed` or `shut` would refuse
bridged frames too, which pass our IP rules under br_netfilter: what comes in and goes out by the
same one is nobody's to refuse.

Sets that packets fill name no size. The kernel would reserve the whole table of buckets for it, 2
MiB for 65,535 elements; without, the table grows with what is in it, and 65,535 is the most all the
same (nft_dynset.c). Naming a size later raises that alone (Linux 6.5), older kernels ignore it.

What is refused is noted for a network that wants to know (`logged`), see `noting`.

A connection is judged by its first packet: only what was let through by everybody is `confirmed`,
answered or not. That holds on the way it was judged for, out by an uplink or in by a forward. What
goes from one network to another is judged until it is answered, or a connection that began to an
address outside would go on to the guest of a network that has the address since.

`guest_conns` is filled by packets too: what a guest begins beyond its share of the host's table of
connections is refused, so that no tenant fills it for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address

from networks.host import noting
from networks.host.elements import (
    LARGEST_PACKET,
    SETS,
    SOURCE_SETS,
    TABLE,
    Element,
    Family,
    Field,
    FieldType,
    Limit,
    SetType,
    ends_of,
)
from networks.host.noting import ARP, note

FAMILIES: tuple[Family, ...] = ("inet", "bridge")
MARKERS = frozenset({"acct_in", "acct_out", "settled", "sifted"})
_BASE_CHAINS: dict[tuple[Family, str], str] = {
    ("inet", "up"): "type filter hook prerouting priority -290",
    ("inet", "down"): "type filter hook postrouting priority 300",
    ("inet", "dnat_pre"): "type nat hook prerouting priority -105",
    ("inet", "dnat_out"): "type nat hook output priority -105",
    ("inet", "snat_post"): "type nat hook postrouting priority 95",
    ("inet", "forward"): "type filter hook forward priority -5",
    ("inet", "guest_in"): "type filter hook input priority -5",
    ("bridge", "pre"): "type filter hook prerouting priority -300",
    ("bridge", "between"): "type filter hook forward priority -300",
    ("bridge", "from_host"): "type filter hook output priority -300",
    ("bridge", "out"): "type filter hook postrouting priority 300",
}

# Fields of a DHCP message behind its UDP header (RFC 2131, section 2) that nft 1.0.6 has no names
# for, and those of the headers before it, which a raw field can be set from only when raw too.
_OP_HTYPE_HLEN = "@th,64,24"
_CIADDR = "@th,160,32"
_GIADDR = "@th,256,32"
_CHADDR = "@th,288,48"
_IP_SOURCE = "@nh,96,32"
_ETHER_SOURCE = "@ll,48,48"
_SHORTEST_DHCP = 8 + 236

_ANY_LIMIT = (1, 1)
_LISTED = "iifname . meta l4proto . ip daddr @egress_all"
_LISTED_PORT = (
    "meta l4proto { tcp, udp } iifname . meta l4proto . th dport . ip daddr @egress_ports"
)
_LISTED6 = "iifname . meta l4proto . ip6 daddr @egress_all6"
_LISTED_PORT6 = (
    "meta l4proto { tcp, udp } iifname . meta l4proto . th dport . ip6 daddr @egress_ports6"
)
_OPEN_PORT6 = "ip6 daddr . meta l4proto . th dport . ip6 saddr @open_ports6"
_OPEN_PORT = "ip daddr . meta l4proto . th dport . ip saddr @open_ports"
_DNS_LIMIT = "limit rate over 500/second burst 1000 packets"
_DNS_RATE = "{ type ipv4_addr; flags dynamic,timeout; timeout 10s; }"
# What a server of DHCP sends, or anybody who feigns one: clients look at their own port alone.
_SERVES_DHCP = ("udp sport 67 counter drop", "udp dport 68 counter drop")
_SERVES_DHCP6 = ("udp sport 547 counter drop", "udp dport 546 counter drop")
_TOO_OFTEN = "update @dhcp_rate { iifname limit rate over 10/second burst 20 packets } counter drop"
# What a neighbour says that it has, or asks whether anybody has before it takes it (RFC 4861,
# sections 4.3 and 4.4; RFC 4862, section 5.4); nft 1.0.6 has no name for it.
_TARGET = "@th,64,128"
_FOREIGN_TARGET = f"iifname . ether saddr . {_TARGET} != @own_nd counter drop"
_FROM_NOBODY = ("nd-router-solicit", "mld-listener-report", "mld2-listener-report")
_NEIGHBOURS = ("nd-neighbor-solicit", "nd-neighbor-advert", *_FROM_NOBODY, "mld-listener-reduction")
_RAW_TYPES: dict[FieldType, str] = {
    "ifname": "iifname",
    "ether_addr": "ether saddr",
    "nd_target": _TARGET,
}
# How many connections a guest may have begun at the same time. The kernel finds out by walking all
# that the guest has: at 4,096 a new one costs two to three times what it costs otherwise (20 us
# instead of 7.5), at 8,000 eight times, at 16,000 five hundred times.
CONNECTIONS_PER_GUEST = 4096
# A remote end and a port of a guest: who was let in, and whom a guest has asked.
_REMEMBERED = "{{ type ifname . inet_proto . {} . inet_service . inet_service;{} {} }}"
_LET_IN = "flags dynamic,timeout; timeout 1h;"
_ASKED = "flags dynamic,timeout; timeout 1m;"
_OPENS = "tcp flags & (syn | ack) == syn"
# Only where there are flags to read: a first fragment may end before them (RFC 1858, 3).
_OPENS_NOT = "tcp flags & (syn | ack) != syn"
# Only then a packet has the socket of a process; what the host passes on has none.
_BY_A_PROGRAM = "meta skuid 0-4294967295"
_TOO_MUCH = "update @ask_rate { iifname limit rate over 200/second burst 1000 packets }"
_ERRORS = "destination-unreachable, time-exceeded, parameter-problem"
TOO_MANY = "too_many"
_OVER_SHARE = (
    f"ct count over {CONNECTIONS_PER_GUEST} }}"
    f" counter name {TOO_MANY} reject with icmpx admin-prohibited"
)
_GUEST_CONNECTIONS = "{{ type {}; flags dynamic; }}"
_RATE = "{ type ifname; flags dynamic,timeout; timeout 1m; }"

# Chains stand before those that jump to them only for the reader: all are made before any rule.


def _guard(ip: str, version: str, more: tuple[str, ...]) -> tuple[str, ...]:
    """What comes to a guarded guest by one family; `more` is what that family always lets in."""
    tail = "" if version == "4" else version
    return (
        f"meta l4proto tcp {_OPENS} goto new{version}",
        f"meta l4proto tcp {_comes(ip)} @let_in{version} goto new{version}",
        f"{_OPENS_NOT} accept",
        f"meta l4proto udp {_comes(ip)} @asked{version} accept",
        *more,
        f"meta l4proto udp goto new{version}",
        f"oifname . meta l4proto . {ip} saddr @let_all{tail} accept",
        note("guarded"),
        "counter drop",
    )


def _comes(ip: str) -> str:
    return f"oifname . meta l4proto . {ip} saddr . th sport . th dport"


def _goes(ip: str) -> str:
    """The same of what is sent back, so it is found where that was noted."""
    return f"iifname . meta l4proto . {ip} daddr . th dport . th sport"


def _new(ip: str, version: str) -> tuple[str, ...]:
    """What somebody outside begins, or began and was let in: judged by each of its packets."""
    tail = "" if version == "4" else version
    return (
        f"oifname . meta l4proto . {ip} saddr @let_all{tail} goto admit{version}",
        f"oifname . meta l4proto . th dport . {ip} saddr @let_ports{tail} goto admit{version}",
        note("guarded"),
        "counter drop",
    )


def _admit(ip: str, version: str) -> tuple[str, ...]:
    noted = f"update @let_in{version} {{ {_comes(ip)}"
    return (
        f"meta l4proto udp {noted} timeout 1m }} accept",
        f"{_OPENS} {noted} timeout 1m }} accept",
        f"meta l4proto tcp {noted} }}",
        "accept",
    )


def _asking(ip: str, version: str) -> tuple[str, ...]:
    """UDP that a guarded guest sends: a packet that is not noted has no answer, but passes. An
    answer to what was let in asks nothing."""
    noted = f"update @asked{version} {{ {_goes(ip)} }}"
    return (
        f"{_goes(ip)} @let_in{version} accept",
        f"{_goes(ip)} @asked{version} {noted} accept",
        f"{_TOO_MUCH} accept",
        noted,
        "accept",
    )


_RULES: dict[tuple[Family, str], tuple[str, ...]] = {
    ("inet", "up"): ("iifname @network_up counter drop",),
    ("inet", "down"): ("oifname @network_down counter drop",),
    ("inet", "dnat_pre"): ('iifname "kw*" iifname != @egress goto listed_pre', "jump forwards"),
    ("inet", "listed_pre"): (
        f"{_LISTED} jump forwards",
        f"{_LISTED_PORT} jump forwards",
        f"{_LISTED6} jump forwards",
        f"{_LISTED_PORT6} jump forwards",
    ),
    ("inet", "dnat_out"): ("jump forwards",),
    ("inet", "forwards"): (
        "meta nfproto ipv4 meta l4proto { tcp, udp } jump forwards4",
        "ct mark set ip daddr map @whole4id",
        "dnat ip to ip daddr map @whole4",
        "meta nfproto ipv6 meta l4proto { tcp, udp } jump forwards6",
    ),
    ("inet", "forwards4"): (
        "ct mark set ip daddr . meta l4proto . th dport map @fwd4id",
        "dnat ip to ip daddr . meta l4proto . th dport map @fwd4",
        "ct mark set th dport . ip daddr . meta l4proto map @rng4id",
        "dnat ip to th dport . ip daddr . meta l4proto map @rng4",
    ),
    ("inet", "forwards6"): (
        "ct mark set ip6 daddr . meta l4proto . th dport map @fwd6id",
        "dnat ip6 to ip6 daddr . meta l4proto . th dport map @fwd6",
    ),
    ("inet", "snat_post"): (
        'ct mark != 0 ct mark @acct_new comment "once per connection"',
        'iifname "kw*" oifname @uplinks jump snat_do',
        'iifname "kw*" oifname "kw*" ct status dnat jump snat_do comment "hairpin"',
        'ct status dnat iifname . oifname @hairpin masquerade comment "not past us"',
        'oifname . ip saddr @inside masquerade comment "or guests take it for a neighbour"',
    ),
    ("inet", "snat_do"): (
        "snat ip to iifname . ip saddr map @snat_pool",
        "snat ip to iifname map @snat4",
        "meta nfproto ipv4 iifname @masq masquerade",
        "snat ip6 to iifname map @snat6",
        "meta nfproto ipv6 iifname @masq6 masquerade",
    ),
    ("inet", "forward"): (
        "ct state established,related ct mark 0 accept",
        'iifname "kw*" goto ours',
        'oifname "kw*" goto ours',
        "iifname . oifname @through accept",
        "meta nfproto ipv4 iifname @closed counter drop",
        "meta nfproto @shut counter drop",
    ),
    ("inet", "ours"): (
        "ct mark != 0 jump account",
        "ct state vmap { established : accept, related : accept, invalid : drop }",
        'iifname "kw*" oifname @uplinks ct status confirmed accept comment "not answered yet"',
        'oifname "kw*" ct status confirmed ct status dnat accept comment "not answered yet"',
        'iifname "kw*" fib saddr . iif oif missing counter drop',
        'iifname "kw*" jump limited',
        'oifname "kw*" ct status dnat goto forwarded',
        "iifname . oifname @pairs oifname . iifname @pairs accept",
        'iifname "kw*" oifname @uplinks goto leaving',
        "meta nfproto ipv4 iifname @uplinks oifname @routed goto inbound",
        "meta nfproto ipv6 iifname @uplinks oifname @routed6 goto inbound",
        'iifname != "kw*" ' + note("closed"),
        note("apart"),
        "counter reject with icmpx admin-prohibited",
    ),
    ("inet", "limited"): (
        f"add @guest_conns {{ ip saddr {_OVER_SHARE}",
        f"add @guest_conns6 {{ ip6 saddr {_OVER_SHARE}",
    ),
    ("inet", "leaving"): (
        "iifname @egress accept",
        f"{_LISTED} accept",
        f"{_LISTED_PORT} accept",
        f"{_LISTED6} accept",
        f"{_LISTED_PORT6} accept",
        note("egress"),
        "counter reject with icmpx admin-prohibited",
    ),
    ("inet", "inbound"): (
        "ip daddr . meta l4proto . ip saddr @open_all accept",
        f"meta l4proto {{ tcp, udp }} {_OPEN_PORT} accept",
        "ip6 daddr . meta l4proto . ip6 saddr @open_all6 accept",
        f"meta l4proto {{ tcp, udp }} {_OPEN_PORT6} accept",
        note("closed"),
        "counter drop",
    ),
    ("inet", "account"): (
        "ct direction original ct mark @acct_in return",
        "ct direction reply ct mark @acct_out return",
    ),
    ("inet", "forwarded"): (
        "ct mark @restricted jump allowed",
        "ct mark @max_rate goto too_fast",
        "ct mark @max_conn goto too_many",
        "ct mark @whole goto inbound",
        "accept",
    ),
    ("inet", "too_fast"): (note("limit"), "counter drop"),
    ("inet", "too_many"): (note("limit"), "counter reject with icmpx admin-prohibited"),
    ("inet", "allowed"): (
        *(
            f"ct mark . ip saddr & {IPv4Network((0, length)).netmask} @{name} return"
            for length, name in SOURCE_SETS.items()
        ),
        "ct mark . ip6 saddr @src6 return",
        note("source"),
        "counter drop",
    ),
    ("inet", "guest_in"): ('iifname "kw*" jump from_guest',),
    ("inet", "from_guest"): (
        f"udp dport 53 update @dns_rate {{ ip saddr {_DNS_LIMIT} }} counter drop",
        "ct state vmap { established : accept, related : accept, invalid : drop }",
        "ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
        "ip daddr . tcp dport @proxied goto leaving",
        "ip6 daddr . tcp dport @proxied6 goto leaving",
        f"icmpv6 type {{ {', '.join(_NEIGHBOURS)} }} accept",
        "fib daddr . iif type != local counter drop",
        "udp sport 68 udp dport 67 accept",
        "iifname @dns meta l4proto { tcp, udp } th dport 53 accept",
        "icmp type echo-request limit rate 50/second accept",
        "icmpv6 type echo-request limit rate 50/second accept",
        note("host"),
        "counter drop",
    ),
    ("bridge", "pre"): (
        'iifname != "kt*" accept',
        "ether type != arp iifname @guest_up counter drop",
        "ether type ip iifname . ether saddr . ip saddr @own4 goto guest4",
        "ether type ip6 iifname . ether saddr . ip6 saddr @own6 goto guest6",
        "iifname . ether saddr != @own_mac goto forged",
        "iifname @bridged goto abroad",
        "ether type arp goto arp4",
        "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto dhcp_new4",
        "ip6 saddr :: goto guest_new6",
        "goto forged",
    ),
    ("bridge", "forged"): ("ether type arp goto forged_arp", note("forged"), "counter drop"),
    ("bridge", "forged_arp"): (note(ARP), "counter drop"),
    ("bridge", "guest4"): (
        *_SERVES_DHCP,
        "udp dport 67 goto dhcp_own4",
        "accept",
    ),
    ("bridge", "guest6"): (
        "ip6 saddr fe80::/10 exthdr frag exists counter drop",
        "icmpv6 type { nd-router-advert, nd-redirect } counter drop",
        f"icmpv6 type nd-neighbor-advert {_FOREIGN_TARGET}",
        f"icmpv6 type nd-router-solicit {_TOO_OFTEN}",
        *_SERVES_DHCP6,
        "accept",
    ),
    ("bridge", "guest_new6"): (
        f"icmpv6 type nd-neighbor-solicit {_FOREIGN_TARGET}",
        f"icmpv6 type nd-router-solicit {_TOO_OFTEN}",
        f"icmpv6 type {{ nd-neighbor-solicit, {', '.join(_FROM_NOBODY)} }} accept",
        "counter drop",
    ),
    ("bridge", "dhcp_new4"): (f"{_CIADDR} != 0 counter drop", "goto dhcp4"),
    ("bridge", "dhcp_own4"): (
        "ip frag-off & 0x3fff != 0 counter drop",
        f"{_CIADDR} set {_IP_SOURCE}",
        "goto dhcp4",
    ),
    ("bridge", "dhcp4"): (
        "ip frag-off & 0x3fff != 0 counter drop",
        f"udp length < {_SHORTEST_DHCP} counter drop",
        f"{_OP_HTYPE_HLEN} != 0x010106 counter drop",
        f"{_GIADDR} != 0 counter drop",
        _TOO_OFTEN,
        f"{_CHADDR} set {_ETHER_SOURCE}",
        "accept",
    ),
    ("bridge", "abroad"): (
        "ether type vmap { arp : goto abroad_arp, ip : goto abroad4, ip6 : goto abroad6 }",
        "counter drop",
    ),
    ("bridge", "abroad_arp"): (
        "iifname . arp saddr ether @own_mac accept",
        "goto forged_arp",
    ),
    ("bridge", "abroad4"): (
        *_SERVES_DHCP,
        "icmp type { redirect, router-advertisement } counter drop",
        "ip saddr 0.0.0.0 udp dport 67 goto dhcp_new4",
        "udp dport 67 goto dhcp_own4",
        "meta l4proto udp iifname @guarded goto asking4",
        "accept",
    ),
    ("bridge", "abroad6"): (
        "ip6 saddr fe80::/10 exthdr frag exists counter drop",
        "icmpv6 type { nd-router-advert, nd-redirect } counter drop",
        f"icmpv6 type nd-router-solicit {_TOO_OFTEN}",
        *_SERVES_DHCP6,
        "meta l4proto udp iifname @guarded goto asking6",
        "accept",
    ),
    ("bridge", "asking4"): _asking("ip", "4"),
    ("bridge", "asking6"): _asking("ip6", "6"),
    ("bridge", "guard"): (
        "ether type vmap { arp : accept, ip : goto guard4, ip6 : goto guard6 }",
        "counter drop",
    ),
    ("bridge", "guard4"): _guard(
        "ip",
        "4",
        (
            "ip frag-off & 0x1fff != 0 accept",
            "udp sport 67 udp dport 68 accept",
            f"icmp type {{ echo-reply, {_ERRORS} }} accept",
        ),
    ),
    ("bridge", "guard6"): _guard(
        "ip6",
        "6",
        (
            "frag frag-off != 0 accept",
            "udp sport 547 udp dport 546 accept",
            f"icmpv6 type {{ echo-reply, packet-too-big, {_ERRORS} }} accept",
            "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
            "icmpv6 type { mld-listener-query, mld-listener-report, mld2-listener-report } accept",
        ),
    ),
    ("bridge", "new4"): _new("ip", "4"),
    ("bridge", "new6"): _new("ip6", "6"),
    ("bridge", "admit4"): _admit("ip", "4"),
    ("bridge", "admit6"): _admit("ip6", "6"),
    ("bridge", "out"): ("ether type != arp oifname @guest_down counter drop",),
    ("bridge", "between"): (
        "iifname @apart oifname @apart counter drop",
        "oifname @guarded goto guard",
    ),
    ("bridge", "from_host"): (
        "oifname != @guarded accept",
        f"{_BY_A_PROGRAM} accept",
        "goto guard",
    ),
    ("bridge", "arp4"): (
        "iifname . arp saddr ether @own_mac arp saddr ip 0.0.0.0 arp operation request accept",
        "iifname . arp saddr ether . arp saddr ip @own4 accept",
        "goto forged_arp",
    ),
    **noting.chains(),
}


CHAINS: frozenset[tuple[Family, str]] = frozenset(_RULES)


def skeleton() -> str:
    """Flat commands that bring existing tables to this ruleset and keep the elements they have.

    There is no `add table`: tables are made by netlink with flags nft 1.0.6 cannot say.
    """
    lines = [_add_set(family, name, kind) for (family, name), kind in SETS.items()]
    lines.append(f"add set bridge {TABLE} dhcp_rate {_RATE}")
    lines.append(f"add set bridge {TABLE} ask_rate {_RATE}")
    for version, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
        for name, keeps in (("let_in", _LET_IN), ("asked", _ASKED)):
            for size in ("", " size 131071;"):
                remembered = _REMEMBERED.format(kind, size, keeps)
                lines.append(f"add set bridge {TABLE} {name}{version} {remembered}")
    for name, kind in (("guest_conns", "ipv4_addr"), ("guest_conns6", "ipv6_addr")):
        lines.append(f"add set inet {TABLE} {name} {_GUEST_CONNECTIONS.format(kind)}")
    lines.append(f"add counter inet {TABLE} {TOO_MANY}")
    lines.append(f"add set inet {TABLE} dns_rate {_DNS_RATE}")
    lines += noting.set_commands()
    lines += [_add_chain(family, name) for family, name in _RULES]
    lines += [f"flush chain {family} {TABLE} {name}" for family, name in _RULES]
    lines += [
        f"add rule {family} {TABLE} {name} {rule}"
        for (family, name), rules in _RULES.items()
        for rule in rules
    ]
    return "\n".join(lines) + "\n"


def document(elements: Iterable[Element] = ()) -> str:
    """A whole file for `nft -f`: tables, skeleton and elements. For people and golden files."""
    tables = [f"add table {family} {TABLE}" for family in FAMILIES]
    added = sorted(_add_element(element) for element in elements)
    return "\n".join([*tables, skeleton().rstrip(), *added]) + "\n"


def _add_set(family: Family, name: str, kind: SetType) -> str:
    types = _types(kind)
    more = " flags interval;" if kind.interval else ""
    more += " counter;" if kind.counter else ""
    more += f" {_limit(kind.limit, _ANY_LIMIT)};" if kind.limit else ""
    return f"add {kind.keyword} {family} {TABLE} {name} {{ {types};{more} }}"


def _types(kind: SetType) -> str:
    """A field that has no type by name is named by where a packet has it."""
    if "nd_target" in kind.key:
        return f"typeof {' . '.join(_RAW_TYPES[each] for each in kind.key)}"
    value = _joined(kind.value)
    return f"type {_joined(kind.key)} : {value}" if value else f"type {_joined(kind.key)}"


def _limit(kind: Limit, value: tuple[Field, ...]) -> str:
    """What an element with a limit carries; every one of a set carries the same sort."""
    if kind == "connections":
        return f"ct count over {value[0]}"
    if kind == "bytes":
        return f"limit rate over {value[0]} bytes/second burst {LARGEST_PACKET} bytes"
    return f"limit rate over {value[0]}/second burst {value[1]} packets"


def _joined(types: tuple[FieldType, ...]) -> str:
    return " . ".join(types)


def _add_chain(family: Family, name: str) -> str:
    base = _BASE_CHAINS.get((family, name))
    body = f" {{ {base}; policy accept; }}" if base else ""
    return f"add chain {family} {TABLE} {name}{body}"


def _add_element(element: Element) -> str:
    kind = SETS[element.family, element.name]
    key = _ranges(element.key, kind.key) if kind.interval else _literal(element.key, kind.key)
    if kind.limit:
        key = f"{key} {_limit(kind.limit, element.value)}"
    comment = f' comment "{element.owner}"' if element.owner else ""
    value = f" : {_literal(element.value, kind.value)}" if kind.value else ""
    return f"add element {element.family} {TABLE} {element.name} {{ {key}{comment}{value} }}"


def _literal(fields: tuple[Field, ...], types: tuple[FieldType, ...]) -> str:
    return " . ".join(_shown(field, kind) for field, kind in zip(fields, types, strict=True))


def _shown(field: Field, kind: FieldType) -> str:
    if kind == "ifname":
        return f'"{field}"'
    return f"{int(IPv6Address(field)):#034x}" if kind == "nd_target" else str(field)


def _ranges(fields: tuple[Field, ...], types: tuple[FieldType, ...]) -> str:
    """nft refuses a range of one value, which is written as that value."""
    shown = []
    for kind, field in zip(types, fields, strict=True):
        first, last = ends_of(kind, field)
        shown.append(_literal((first if first == last else field,), (kind,)))
    return " . ".join(shown)
