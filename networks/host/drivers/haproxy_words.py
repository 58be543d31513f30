"""What is said to HAProxy by its socket, and what it answers; and the lines of our own files. Pure.

Syntax: HAProxy's management.txt, version 2.6.
"""

from __future__ import annotations

from collections.abc import Iterator

from networks.host.drivers.counters import Counted
from networks.host.proxy import CERTIFICATES, TABLES, Route, Table

_COLUMNS = {"key", "conn_cnt", "bytes_in_cnt", "bytes_out_cnt"}


def set_line(route: Route) -> str:
    return f"set map {route.table}.map {route.key} {route.value}"


def add_line(route: Route) -> str:
    return f"add map {route.table}.map {route.key} {route.value}"


def delete_line(route: Route) -> str:
    return f"del map {route.table}.map {route.key}"


def routes_of(text: str) -> frozenset[Route]:
    """Lines of a network's file: table, key, value."""
    found = (line.split(" ") for line in text.splitlines())
    return frozenset(
        Route(table, words[1], words[2])
        for words in found
        for table in TABLES
        if len(words) == 3 and words[0] == table
    )


def shown(table: Table, answer: str) -> Iterator[Route]:
    """A line of `show map` is `pointer key value`."""
    for line in answer.splitlines():
        words = line.split(" ")
        if len(words) == 3:
            yield Route(table, words[1], words[2])


def offered(place: str, answer: str) -> Iterator[Route]:
    """A line of `show ssl crt-list -n` is `file:line name`."""
    for line in answer.splitlines():
        words = line.split(" ")
        file = words[0].rpartition(":")[0].removeprefix(f"{CERTIFICATES}/").removesuffix(".pem")
        if len(words) == 2 and file.count(".") == 2:
            yield Route("certificate", f"{place}/{words[1]}", file.replace(".", "/"))


def sessions(answer: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """The sessions of `show sess all` with a server: its line follows the session's own."""
    session = ""
    for line in answer.splitlines():
        if line.startswith("0x"):
            session = line.partition(":")[0]
        elif line.startswith("  server=guest ") and " addr=" in line:
            address, _, port = line.rpartition("addr=")[2].rpartition(":")
            if port.isdigit():
                yield session, (address, int(port))


def counted(stamp: int, answer: str) -> Iterator[tuple[int, Counted]]:
    """A line of `show table` is `pointer: key=1 use=0 exp=9 conn_cnt=2 ...`."""
    for line in answer.splitlines():
        said = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if line.startswith("0x") and said.keys() >= _COLUMNS:
            inward, outward = int(said["bytes_in_cnt"]), int(said["bytes_out_cnt"])
            new = int(said["conn_cnt"])
            yield (
                int(said["key"]),
                Counted((stamp, 0, inward), (stamp, 0, outward), (stamp, new, 0)),
            )
