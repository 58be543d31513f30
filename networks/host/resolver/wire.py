"""Questions and answers as bytes (RFC 1035, section 4; RFC 6891 for EDNS). Pure.

Only what a small server needs: one question is read, and answers are made of addresses, names and
the SOA that says how long an absence may be remembered.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

A, NS, SOA, PTR, AAAA, ANY = 1, 2, 6, 12, 28, 255
TRANSFERS = frozenset({251, 252})
INTERNET = 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILED, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED = range(6)
TTL = 5
"""Seconds that an answer may be kept: names change while guests run."""

Labels: TypeAlias = tuple[bytes, ...]
Address: TypeAlias = IPv4Address | IPv6Address

_HEADER = struct.Struct(">HHHHHH")
_KIND = struct.Struct(">HH")
_IS_ANSWER, _AUTHORITATIVE = 1 << 15, 1 << 10
_WANTS_RECURSION, _CAN_RECURSE = 1 << 8, 1 << 7
_OPCODE = 0x7800
_LONGEST_NAME = 255
_OPT_RECORD = b"\0\0\x29"
_OWN_OPT = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
_NAME_OF_QUESTION = b"\xc0\x0c"


@dataclass(frozen=True, slots=True)
class Query:
    """A message with one question. `name` is in lower case, `question` the bytes as they came."""

    number: int
    flags: int
    name: Labels
    kind: int
    domain: int
    question: bytes
    knows_edns: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record with a whole owner name; none means the name of the question."""

    kind: int
    data: bytes
    owner: Labels | None = None


def parse(message: bytes) -> Query | int | None:
    """The question; the error to answer with; None for what is no question at all."""
    if len(message) < _HEADER.size:
        return None
    number, flags, questions, answers, authorities, extras = _HEADER.unpack_from(message)
    if flags & _IS_ANSWER:
        return None
    if flags & _OPCODE:
        return NOT_IMPLEMENTED
    found = _name(message, _HEADER.size)
    if questions != 1 or answers or authorities or found is None:
        return FORMAT_ERROR
    name, end = found
    if end + _KIND.size > len(message):
        return FORMAT_ERROR
    kind, domain = _KIND.unpack_from(message, end)
    end += _KIND.size
    return Query(
        number=number,
        flags=flags,
        name=name,
        kind=kind,
        domain=domain,
        question=message[_HEADER.size : end],
        knows_edns=bool(extras) and message.startswith(_OPT_RECORD, end),
    )


def answer(
    query: Query,
    code: int,
    records: Sequence[Record] = (),
    authority: Sequence[Record] = (),
) -> bytes:
    """The whole message that answers `query`."""
    flags = _IS_ANSWER | _AUTHORITATIVE | _CAN_RECURSE | query.flags & _WANTS_RECURSION | code
    extra = _OWN_OPT if query.knows_edns else b""
    counts = (1, len(records), len(authority), bool(extra))
    parts = [_record(each) for each in (*records, *authority)]
    return _HEADER.pack(query.number, flags, *counts) + query.question + b"".join(parts) + extra


def error(message: bytes, code: int) -> bytes:
    """The answer to a message that cannot be read any further than its header."""
    number, flags = _KIND.unpack_from(message)
    kept = flags & (_OPCODE | _WANTS_RECURSION)
    return _HEADER.pack(number, _IS_ANSWER | kept | code, 0, 0, 0, 0)


def answers(message: bytes, query: Query, number: int) -> bool:
    """Whether `message` is the answer to `query` when that was asked under `number`."""
    if len(message) < _HEADER.size:
        return False
    given, flags, questions, *_ = _HEADER.unpack_from(message)
    asked = message[_HEADER.size : _HEADER.size + len(query.question)]
    return (
        given == number
        and bool(flags & _IS_ANSWER)
        and questions == 1
        and asked.lower() == query.question.lower()
    )


def is_failure(message: bytes) -> bool:
    """Whether a server says that it cannot or will not answer, and another one might."""
    return message[3] & 0xF in (SERVER_FAILED, REFUSED)


def numbered(message: bytes, number: int) -> bytes:
    """The message under another number."""
    return struct.pack(">H", number) + message[2:]


def addresses(found: Sequence[Address], kind: int) -> list[Record]:
    """The records of `kind` for these addresses."""
    records = []
    for address in found:
        own = A if address.version == 4 else AAAA
        if kind in (own, ANY):
            records.append(Record(own, address.packed))
    return records


def pointer(name: Labels) -> Record:
    """The record that says which name an address has."""
    return Record(PTR, encoded(name))


def start_of_authority(zone: Labels) -> Record:
    """Who is responsible for a zone (RFC 2308: its minimum is how long an absence counts)."""
    numbers = struct.pack(">IIIII", 1, 3600, 600, 86400, TTL)
    return Record(SOA, encoded(zone) + encoded((b"hostmaster", *zone)) + numbers, zone)


def labels(name: str) -> Labels:
    """A name in text, dots between its labels."""
    return tuple(name.lower().rstrip(".").encode().split(b"."))


def encoded(name: Labels) -> bytes:
    """A name as it stands in a message, uncompressed."""
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


def _record(record: Record) -> bytes:
    owner = _NAME_OF_QUESTION if record.owner is None else encoded(record.owner)
    return owner + struct.pack(">HHIH", record.kind, INTERNET, TTL, len(record.data)) + record.data


def _name(message: bytes, at: int) -> tuple[Labels, int] | None:
    """The name at an offset and where it ends. A question has nothing to be compressed against."""
    start = at
    found: list[bytes] = []
    while at < len(message) and at - start < _LONGEST_NAME:
        length = message[at]
        if length == 0:
            return tuple(found), at + 1
        if length > 63 or at + 1 + length > len(message):
            return None
        found.append(message[at + 1 : at + 1 + length].lower())
        at += 1 + length
    return None
