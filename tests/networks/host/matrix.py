"""Who reaches what: the table that the packets of `test_matrix` are held against.

It is shown to people as docs/reachability.md: `python -m tests.networks.host.matrix` writes it.
"""
# ruff: noqa: E501  lines of the page

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs/reachability.md"

HEAD = """# Who reaches what

Every cell is tried with real packets, TCP and UDP, over IPv4 and over IPv6, by `tests/networks/host/test_matrix.py`,
which reads the same table. *yes*: an answer comes back. *no*: none does. *–*: there is no such
thing.

The host of the table has these networks:

- *nat* and *peer* belong to one project and are paired; both reach the outside by source NAT (IPv6: NAT66).
- *routed* is not translated in either family; only TCP and UDP port 80 of its guests is opened to the outside.
- *isolated* has no way out; *apart* keeps its guests from each other; *listed* may go to one address outside alone.
- *other* is a NAT network of another project.
- *bridged* is on a bridge of the host's owner, which leads to a network outside; TCP and UDP port 80 of its guests is
  opened. By macvtap of an uplink no packet passes the host, and all ports of its guests are reached from there.

A network with a router of its own is reached as *other* is, though its subnet may be that of *nat*; it has no IPv6 and no
peers. That is tried with packets in `tests/networks/host/test_own_router.py`.

A *forward* is a port of the host's public address that leads to port 80 of the guest named before it. *Service* is a
program of the host itself, asked at the gateway of the guest's own network or, from outside, at the public address.

"""

TABLE = """
| from \\ to             | nat guest | its forward | routed guest | its closed port | its forward | isolated guest | peer guest | apart guest | other guest | its forward | bridged guest | its closed port | ping of gateway | service | outside |
|-----------------------|-----------|-------------|--------------|-----------------|-------------|----------------|------------|-------------|-------------|-------------|---------------|-----------------|-----------------|---------|---------|
| outside               | no        | yes         | yes          | no              | yes         | no             | no         | no          | no          | yes         | yes           | no              | –               | yes     | –       |
| the host              | yes       | yes         | yes          | yes             | yes         | yes            | yes        | yes         | yes         | yes         | yes           | no              | –               | –       | yes     |
| the nat guest itself  | yes       | yes         | no           | no              | yes         | no             | yes        | no          | no          | yes         | yes           | no              | yes             | no      | yes     |
| its neighbour         | yes       | yes         | no           | no              | yes         | no             | yes        | no          | no          | yes         | yes           | no              | yes             | no      | yes     |
| the peer guest        | yes       | yes         | no           | no              | yes         | no             | yes        | no          | no          | yes         | yes           | no              | yes             | no      | yes     |
| the routed guest      | no        | yes         | yes          | yes             | yes         | no             | no         | no          | no          | yes         | yes           | no              | yes             | no      | yes     |
| its neighbour, routed | no        | yes         | yes          | yes             | yes         | no             | no         | no          | no          | yes         | yes           | no              | yes             | no      | yes     |
| an isolated guest     | no        | no          | no           | no              | no          | yes            | no         | no          | no          | no          | no            | no              | yes             | no      | no      |
| an apart guest        | no        | yes         | no           | no              | yes         | no             | no         | no          | no          | yes         | yes           | no              | yes             | no      | yes     |
| the other guest       | no        | yes         | no           | no              | yes         | no             | no         | no          | yes         | yes         | yes           | no              | yes             | no      | yes     |
| a listed guest        | no        | no          | no           | no              | no          | no             | no         | no          | no          | no          | no            | no              | yes             | no      | yes     |
| a bridged guest       | no        | yes         | yes          | no              | yes         | no             | no         | no          | no          | yes         | yes           | no              | –               | yes     | yes     |
"""

VERDICTS = {"yes": True, "no": False, "–": None}


def rows() -> list[tuple[str, list[bool | None]]]:
    """For each source, whether it reaches each target, in their order."""
    lines = [_cells(line) for line in TABLE.strip().splitlines()[2:]]
    return [(source, [VERDICTS[cell] for cell in cells]) for source, *cells in lines]


def targets() -> list[str]:
    """The headings; a heading may come twice, it is told by what stands before it."""
    return _cells(TABLE.strip().splitlines()[0])[1:]


def page() -> str:
    """What docs/reachability.md has."""
    return HEAD + TABLE.strip() + "\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


if __name__ == "__main__":
    PAGE.write_text(page())
