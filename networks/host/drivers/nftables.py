"""A socket that speaks nftables: transactions, element lookups and dumps, the generation id.

Formats: include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from kvmweb.core.errors import HostError
from networks.host.drivers.netlink import (
    ALREADY_GONE,
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    Answer,
    KernelRefused,
    NetlinkSocket,
    attribute,
    attributes,
    message,
    nested,
    refusal,
    text,
)
from networks.host.elements import (
    LARGEST_PACKET,
    SETS,
    TABLE,
    Element,
    Family,
    Field,
    Limit,
    SetType,
    pack,
    pack_range,
    size,
    unpack,
    unpack_range,
)
from networks.host.ruleset import FAMILIES

OWNER, PERSIST = 0x2, 0x4
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEWTABLE, _GETTABLE, _DELTABLE = 0, 1, 2
_GETCHAIN, _GETRULE, _GETSET = 4, 7, 10
_NEWSETELEM, _GETSETELEM, _DELSETELEM = 12, 13, 14
_GETGEN, _GETOBJ = 16, 19
_OBJECT_COUNTER, _OBJECT_DATA, _COUNTER_PACKETS = 1, 4, 2
_PROTOCOLS: dict[Family, int] = {"inet": 1, "bridge": 7}
_TABLE_ATTRIBUTE = 1
_TABLE_FLAGS = 2
_SET_ATTRIBUTE, _ELEMENTS = 2, 3
_KEY, _DATA, _USERDATA, _KEY_END = 1, 2, 6, 10
_VALUE = 1
_EXPRESSION, _EXPRESSION_NAME, _EXPRESSION_DATA = 7, 1, 2
_COUNT, _COUNT_FLAGS = 1, 2
_RATE, _RATE_UNIT, _RATE_BURST, _RATE_TYPE, _RATE_FLAGS = 1, 2, 3, 4, 5
_SECOND, _PACKETS, _BYTES = 1, 0, 1
_LIMIT_PARTS: dict[Limit, tuple[int, ...]] = {
    "connections": (_COUNT,),
    "rate": (_RATE, _RATE_BURST),
    "bytes": (_RATE,),
}
_CHAIN_NAME = 3
_COMMENT, STAMP = 0, 0x6B
_STAMP_AT = 6  # behind the header of the attribute, type and length
_IFNAMSIZ = 16
_NF_DROP = 0
_CHAIN_HOOK, _CHAIN_POLICY = 4, 5
_HOOK_FORWARD = 2
_FAMILY_NAMES = {1: "inet", 2: "ip"}

# The attributes of an object that change whenever somebody changes it: handles are never used
# again, and a replaced rule gets a new one. Name, handle and flags; hook and policy of a chain.
_TELLING: dict[int, tuple[int, ...]] = {
    _GETTABLE: (1, 4),
    _GETSET: (2, 3, 16),
    _GETCHAIN: (2, 3, 4, 5),
    _GETRULE: (2, 3),
}


class Command(NamedTuple):
    """One message of a transaction, without its header."""

    kind: int
    flags: int
    payload: bytes


def add(element: Element) -> Command:
    """Add an element that must not be there yet."""
    return Command(_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, _element(element))


def remove(element: Element) -> Command:
    """Remove what lies in the element's place."""
    return Command(_DELSETELEM, 0, _place(element))


def forget(family: Family, name: str, key: bytes) -> Command:
    """Remove what packets put in a set, by its key as the kernel has it."""
    place = nested(_ELEMENTS, nested(1, nested(_KEY, attribute(_VALUE, key))))
    return Command(_DELSETELEM, 0, _head(family, name) + place)


def set_table(family: Family, flags: int) -> Command:
    """Make a table, or change its flags."""
    payload = _general(family) + text(_TABLE_ATTRIBUTE, TABLE)
    return Command(
        _NEWTABLE, NLM_F_CREATE, payload + attribute(_TABLE_FLAGS, struct.pack(">I", flags))
    )


def delete_table(family: Family) -> Command:
    """Delete a table with all in it."""
    return Command(_DELTABLE, 0, _general(family) + text(_TABLE_ATTRIBUTE, TABLE))


class NftablesSocket:
    """What it claims as owner is its own until it closes."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Give up what is owned."""
        self._socket.close()

    def transact(self, commands: list[Command]) -> dict[int, Answer]:
        """All of the commands or none. Returns the errors by position; empty means done.

        Raises `KernelRefused` when the transaction as a whole was refused.
        """
        first = self._socket.next_sequence()
        parts = [_message(_BATCH_BEGIN, 0, first, _batch())]
        last = first
        for position, command in enumerate(commands, 1):
            last = self._socket.next_sequence()
            # Acknowledging the last message works with every kernel, acknowledging the end of
            # a batch only since 6.10.
            flags = command.flags | (NLM_F_ACK if position == len(commands) else 0)
            kind = _SUBSYSTEM << 8 | command.kind
            parts.append(_message(kind, flags, last, command.payload))
        end = self._socket.next_sequence()
        parts.append(_message(_BATCH_END, 0, end, _batch()))
        self._socket.send(b"".join(parts))
        failed = [answer for answer in self._socket.answers(first, last) if answer.errno]
        if any(answer.sequence == first for answer in failed):
            raise KernelRefused(failed[-1].errno, failed[-1].reason)
        return {answer.sequence - first - 1: answer for answer in failed}

    def run(self, command: Command) -> None:
        """One command that must succeed."""
        error = refusal(self.transact([command]).values())
        if error is not None:
            raise error

    def generation(self) -> int:
        """The number the kernel raises with every transaction of anybody in this namespace."""
        for answer in self._socket.request(_SUBSYSTEM << 8 | _GETGEN, _general()):
            for kind, data in attributes(answer, 4):
                if kind == 1:
                    return int(struct.unpack(">I", data)[0])
        raise HostError("The kernel does not tell its nftables generation.")

    def table_flags(self, family: Family) -> int | None:
        """The flags of a table of ours; None when there is none."""
        payload = _general(family) + text(_TABLE_ATTRIBUTE, TABLE)
        for answer in self._get(_GETTABLE, payload):
            flags = dict(attributes(answer, 4)).get(_TABLE_FLAGS, b"\0\0\0\0")
            return int(struct.unpack(">I", flags)[0])
        return None

    def lookup(self, elements: Sequence[Element]) -> list[Element]:
        """What lies in the places of these elements."""
        places = [_place(element) for element in elements]
        answers = self._socket.request_each(_SUBSYSTEM << 8 | _GETSETELEM, places)
        return [
            found
            for position, answer in answers
            for found in _decoded(elements[position].family, elements[position].name, answer)
        ]

    def counted(self, name: str, keys: Sequence[int], family: Family = "inet") -> Iterator[bytes]:
        """The elements with these keys of a counting set of ours, as the kernel lists them."""
        places = [_place(Element(family, name, (key,))) for key in keys]
        for _, answer in self._socket.request_each(_SUBSYSTEM << 8 | _GETSETELEM, places):
            yield dict(attributes(answer, 4)).get(_ELEMENTS, b"")

    def elements(self) -> Iterator[Element]:
        """Every element of our sets and maps."""
        for family, name in SETS:
            payload = _general(family) + text(_TABLE_ATTRIBUTE, TABLE) + text(_SET_ATTRIBUTE, name)
            for answer in self._dump(_GETSETELEM, payload):
                yield from _decoded(family, name, answer)

    def counting(self, name: str, family: Family = "inet") -> Iterator[bytes]:
        """The elements of a counting set of ours as the kernel lists them, message by message."""
        payload = _general(family) + text(_TABLE_ATTRIBUTE, TABLE) + text(_SET_ATTRIBUTE, name)
        for answer in self._dump(_GETSETELEM, payload):
            yield dict(attributes(answer, 4)).get(_ELEMENTS, b"")

    def chains(self) -> frozenset[tuple[Family, str]]:
        """The chains of our tables."""
        return frozenset(
            (family, _string(found[_CHAIN_NAME]))
            for family in FAMILIES
            for found in self._objects(_GETCHAIN, family)
        )

    def counter(self, name: str) -> int:
        """The packets of a named counter of ours; 0 where there is none."""
        payload = _general("inet") + text(1, TABLE) + text(2, name)
        payload += attribute(3, struct.pack(">I", _OBJECT_COUNTER))
        for answer in self._get(_GETOBJ, payload):
            data = dict(attributes(dict(attributes(answer, 4)).get(_OBJECT_DATA, b"")))
            return int.from_bytes(data.get(_COUNTER_PACKETS, b""), "big")
        return 0

    def marks(self) -> list[list[str]]:
        """What tells whether anything but elements was changed, see `_TELLING`."""
        return [
            sorted(
                ".".join(found.get(kind, b"").hex() for kind in telling)
                for found in self._objects(get, family)
            )
            for get, telling in _TELLING.items()
            for family in FAMILIES
        ]

    def _objects(self, kind: int, family: Family) -> Iterator[dict[int, bytes]]:
        payload = _general(family)
        if kind != _GETTABLE:
            payload += text(_TABLE_ATTRIBUTE, TABLE)
        for answer in self._dump(kind, payload):
            found = dict(attributes(answer, 4))
            if _string(found.get(_TABLE_ATTRIBUTE, b"")) == TABLE:
                yield found

    def _dump(self, kind: int, payload: bytes) -> Iterator[bytes]:
        try:
            yield from self._socket.dump(_SUBSYSTEM << 8 | kind, payload)
        except KernelRefused as error:
            if error.errno != ALREADY_GONE:
                raise

    def _get(self, kind: int, payload: bytes) -> list[bytes]:
        try:
            return self._socket.request(_SUBSYSTEM << 8 | kind, payload)
        except KernelRefused as error:
            if error.errno == ALREADY_GONE:
                return []
            raise


def _message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    return message(kind, flags | NLM_F_REQUEST, sequence, payload)


def _general(family: Family | None = None) -> bytes:
    return struct.pack(">BBH", _PROTOCOLS[family] if family else 0, 0, 0)


def _batch() -> bytes:
    return struct.pack(">BBH", 0, 0, _SUBSYSTEM)


def _place(element: Element) -> bytes:
    return _list(element, _key(element))


def _element(element: Element) -> bytes:
    kind = SETS[element.family, element.name]
    if not kind.interval and not kind.limit:
        return _framed(element, kind)
    parts = [_key(element)]
    if kind.value:
        parts.append(nested(_DATA, attribute(_VALUE, pack(kind.value, element.value))))
    if kind.limit:
        parts.append(nested(_EXPRESSION, *_limit(kind.limit, element.value)))
    if userdata := _userdata(element.owner, kind):
        parts.append(attribute(_USERDATA, userdata))
    return _list(element, *parts)


class _Frame(NamedTuple):
    """What is the same of all elements of a set with one owner: the bytes before the key, between
    it and the value, and after both. `key` and `value` are their sizes, padded."""

    before: bytes
    key: int
    between: bytes
    value: int
    after: bytes


def _framed(element: Element, kind: SetType) -> bytes:
    """A thousand forwards are five thousand elements; put together from its attributes, each would
    cost five times as much."""
    frame = _frame(element.family, element.name, element.owner)
    found = frame.before + pack(kind.key, element.key).ljust(frame.key, b"\0") + frame.between
    if kind.value:
        found += pack(kind.value, element.value).ljust(frame.value, b"\0")
    if kind.counter:
        return found + frame.after[:_STAMP_AT] + _stamp() + frame.after[_STAMP_AT + 8 :]
    return found + frame.after


@cache
def _frame(family: Family, name: str, owner: str) -> _Frame:
    kind = SETS[family, name]
    key, value = nested(_KEY, attribute(_VALUE, bytes(size(kind.key)))), b""
    if kind.value:
        value = nested(_DATA, attribute(_VALUE, bytes(size(kind.value))))
    userdata = _userdata(owner, kind)
    after = attribute(_USERDATA, userdata) if userdata else b""
    whole = _list(Element(family, name, ()), key, value, after)
    headers = 8  # of the attribute and of the value in it
    begin = len(whole) - len(key) - len(value) - len(after) + headers
    return _Frame(whole[:begin], len(key) - headers, value[:headers], len(value) - headers, after)


def _stamp() -> bytes:
    return struct.pack(">Q", time.time_ns())


def _userdata(owner: str, kind: SetType) -> bytes:
    """A list of type, length, value (libnftnl/src/udata.c); nft passes over types it does not
    know. Elements that count say when they were made, and are all of one size (`counters`)."""
    listed = b""
    if kind.counter:
        stamp = _stamp().ljust(8 + _IFNAMSIZ - len(owner), b"\0")
        listed += bytes([STAMP, len(stamp)]) + stamp
    if owner:
        comment = owner.encode() + b"\0"
        listed += bytes([_COMMENT, len(comment)]) + comment
    return listed


def _limit(kind: Limit, value: tuple[Field, ...]) -> tuple[bytes, bytes]:
    """The expression of one element: it matches when the limit is exceeded."""
    exceeded = struct.pack(">I", 1)
    if kind == "connections":
        data = nested(
            _EXPRESSION_DATA,
            attribute(_COUNT, struct.pack(">I", int(value[0]))),
            attribute(_COUNT_FLAGS, exceeded),
        )
        return text(_EXPRESSION_NAME, "connlimit"), data
    burst, unit = (LARGEST_PACKET, _BYTES) if kind == "bytes" else (int(value[1]), _PACKETS)
    data = nested(
        _EXPRESSION_DATA,
        attribute(_RATE, struct.pack(">Q", int(value[0]))),
        attribute(_RATE_UNIT, struct.pack(">Q", _SECOND)),
        attribute(_RATE_BURST, struct.pack(">I", burst)),
        attribute(_RATE_TYPE, struct.pack(">I", unit)),
        attribute(_RATE_FLAGS, exceeded),
    )
    return text(_EXPRESSION_NAME, "limit"), data


def _limit_of(kind: Limit, data: bytes) -> tuple[Field, ...]:
    """The value of an element, from its expression."""
    found = dict(attributes(dict(attributes(data))[_EXPRESSION_DATA]))
    parts = _LIMIT_PARTS[kind]
    return tuple(int.from_bytes(found[part], "big") for part in parts)


def _key(element: Element) -> bytes:
    kind = SETS[element.family, element.name]
    if not kind.interval:
        return nested(_KEY, attribute(_VALUE, pack(kind.key, element.key)))
    low, high = pack_range(kind.key, element.key)
    return nested(_KEY, attribute(_VALUE, low)) + nested(_KEY_END, attribute(_VALUE, high))


def _list(element: Element, *parts: bytes) -> bytes:
    return _head(element.family, element.name) + nested(_ELEMENTS, nested(1, *parts))


@cache
def _head(family: Family, name: str) -> bytes:
    """How every message about elements of a set begins."""
    return _general(family) + text(_TABLE_ATTRIBUTE, TABLE) + text(_SET_ATTRIBUTE, name)


def _decoded(family: Family, name: str, payload: bytes) -> Iterator[Element]:
    kind = SETS[family, name]
    listed = dict(attributes(payload, 4)).get(_ELEMENTS, b"")
    for _, element in attributes(listed):
        found = dict(attributes(element))
        low = dict(attributes(found[_KEY]))[_VALUE]
        key: tuple[Field, ...] = unpack(kind.key, low)
        if kind.interval:
            high = dict(attributes(found.get(_KEY_END, found[_KEY])))[_VALUE]
            key = unpack_range(kind.key, low, high)
        value: tuple[Field, ...] = ()
        if kind.value:
            value = unpack(kind.value, dict(attributes(found[_DATA]))[_VALUE])
        elif kind.limit:
            value = _limit_of(kind.limit, found[_EXPRESSION])
        yield Element(family, name, key, value, _owner(found.get(_USERDATA, b"")))


def _owner(userdata: bytes) -> str:
    return _string(entry(userdata, _COMMENT))


def entry(userdata: bytes, wanted: int) -> bytes:
    """The value of this type in userdata; empty where there is none."""
    while len(userdata) >= 2:
        kind, length = userdata[0], userdata[1]
        if kind == wanted:
            return userdata[2 : 2 + length]
        userdata = userdata[2 + length :]
    return b""


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
