"""Our two nftables tables: the skeleton by the program `nft`, everything else by netlink.

The tables are owned (`owner|persist`) where the kernel can: another program's `nft flush ruleset`
then leaves them whole, and they outlive this process. What was read is kept and believed as long
as the kernel's generation id says that nobody else changed anything; after a transaction of our
own a few elements are read back, and thousands are taken to be what the kernel acknowledged.
"""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from kvmweb.core.errors import HostBusy, HostError
from networks.host.drivers import nftables, refusals
from networks.host.drivers.netlink import ALREADY_GONE, Answer, Interrupted, KernelRefused
from networks.host.drivers.nftables import OWNER, PERSIST, Command, NftablesSocket
from networks.host.elements import Element
from networks.host.ruleset import CHAINS, FAMILIES, skeleton

_FEW = 64
_AT_ONCE = 500
_ATTEMPTS = 5
_NFT_SECONDS = 60
_NO_OWNERSHIP = {errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(slots=True)
class Tables:
    """What is in our tables: the elements by owner, and whether the rules are the skeleton's."""

    skeleton: bool = False
    by_place: dict[tuple[object, ...], Element] = field(default_factory=dict)
    by_owner: dict[str, set[Element]] = field(default_factory=dict)

    def put(self, element: Element) -> None:
        """Note an element that is in no other place."""
        self.by_place[element.place] = element
        self.by_owner.setdefault(element.owner, set()).add(element)

    def drop(self, element: Element) -> None:
        """Note that nothing is in the place of an element any more, whoever its owner was."""
        found = self.by_place.pop(element.place, None)
        if found is not None:
            self.by_owner[found.owner].discard(found)

    def of(self, *owners: str) -> frozenset[Element]:
        """All elements of these owners."""
        return frozenset().union(*(self.by_owner.get(owner, ()) for owner in owners))


class Firewall:
    """One socket that reads, writes and owns the tables. For one thread.

    `record` is the file that remembers what the loaded skeleton looked like.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        self._socket = NftablesSocket()
        self._tables = Tables()
        self._generation = -1
        self._noted = -1
        self._claimed = False
        self._expected: list[Element] = []
        self._prepared: dict[Element, Command] = {}

    def close(self) -> None:
        """Give the tables up; they stay."""
        self._socket.close()

    def observe(self) -> Tables:
        """What is in the kernel now; read in full only if anybody else changed anything."""
        for _ in range(_ATTEMPTS):
            generation = self._socket.generation()
            if generation == self._generation:
                return self._tables
            try:
                tables = self._read(generation)
            except Interrupted:
                continue
            if self._socket.generation() == generation:
                self._tables, self._generation = tables, generation
                return tables
        raise HostBusy("The firewall of the host keeps changing while it is read.")

    def claim(self) -> None:
        """Own the tables there are, if they will outlive their owner; otherwise go without."""
        if self._claimed:
            return
        flags = {family: self._socket.table_flags(family) for family in FAMILIES}
        for family, found in flags.items():
            if found is not None and found & PERSIST:
                self._run(nftables.set_table(family, OWNER | PERSIST))
        self._claimed = None not in flags.values()

    def load_skeleton(self) -> None:
        """Bring both tables to the skeleton. Their elements stay if the sets can."""
        self._release()
        self._make_tables()
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(complaint, skeleton())
            self._prepare()
            error = told.result()
        if error or self._socket.chains() != CHAINS:
            self._delete_tables()
            self._make_tables()
            error = complaint(skeleton())
        refuse(error)
        self.claim()
        self._note()

    def change(self, add: Iterable[Element], remove: Iterable[Element]) -> dict[Element, Answer]:
        """One transaction, removals first. Returns what was refused; if any, nothing was done.

        An element that is already gone needs no removal and is not an error.
        """
        removals, additions = list(remove), list(add)
        while removals or additions:
            refused = self._transact(removals, additions)
            if not refused:
                self._learn(removals, additions)
                return {}
            gone = {
                at
                for at, answer in refused.items()
                if at < len(removals) and answer.errno == ALREADY_GONE
            }
            if len(gone) < len(refused):
                changes = [*removals, *additions]
                return {changes[at]: why for at, why in refused.items() if at not in gone}
            removals = [element for at, element in enumerate(removals) if at not in gone]
        return {}

    def expect(self, elements: Iterable[Element]) -> None:
        """What will be added after the next skeleton is made ready while nft works on that."""
        self._expected = list(elements)

    def forget(self, interfaces: frozenset[str]) -> None:
        """Empty what was noted of packets refused there. What is gone meanwhile is no error."""
        noted = refusals.keys(self._socket, interfaces)
        while noted:
            some, noted = noted[:_AT_ONCE], noted[_AT_ONCE:]
            refused = self._socket.transact([nftables.forget(*place) for place in some])
            left = [each.errno for each in refused.values() if each.errno != ALREADY_GONE]
            if left:
                raise _foreign_owner(KernelRefused(left[0], "what was noted"))
            if refused:
                noted += [place for at, place in enumerate(some) if at not in refused]
            else:
                self._learn([], [])

    def delete(self) -> None:
        """Remove both tables."""
        self._release()
        self._delete_tables()
        self._record.unlink(missing_ok=True)

    def _prepare(self) -> None:
        self._prepared = {element: nftables.add(element) for element in self._expected}
        self._expected = []

    def _transact(self, removals: list[Element], additions: list[Element]) -> dict[int, Answer]:
        commands = [nftables.remove(element) for element in removals]
        ready = self._prepared
        commands += [ready.pop(each) if each in ready else nftables.add(each) for each in additions]
        refused = self._socket.transact(commands)
        for answer in refused.values():
            if answer.errno == errno.EPERM:
                raise _foreign_owner(KernelRefused(answer.errno, answer.reason))
        return refused

    def _learn(self, removals: list[Element], additions: list[Element]) -> None:
        """What our own transaction did, if nobody else wrote meanwhile. A few elements are read
        back; thousands are believed, for the kernel did all of it or nothing."""
        if self._socket.generation() != self._generation + 1:
            self._generation = -1
            return
        changed = [*removals, *additions]
        for element in changed:
            self._tables.drop(element)
        few = len(changed) <= _FEW
        for found in self._socket.lookup(changed) if few else additions:
            self._tables.put(found)
        self._generation += 1

    def _read(self, generation: int) -> Tables:
        tables = Tables(skeleton=generation == self._noted or self.is_skeleton())
        for element in self._socket.elements():
            tables.put(element)
        return tables

    def is_skeleton(self) -> bool:
        """Whether the rules in the kernel are those that were loaded last, of this version."""
        try:
            recorded = json.loads(self._record.read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        return bool(recorded == self._marks())

    def _note(self) -> None:
        """Not flushed: guests wait, and a record that a power cut took has the rules loaded again,
        which they have to be then anyway."""
        self._record.parent.mkdir(parents=True, exist_ok=True)
        generation = self._socket.generation()
        self._record.write_text(json.dumps(self._marks()))
        self._noted = generation

    def _marks(self) -> dict[str, object]:
        digest = hashlib.sha256(skeleton().encode()).hexdigest()
        return {"text": digest, "objects": self._socket.marks()}

    def _make_tables(self) -> None:
        for family in FAMILIES:
            if self._socket.table_flags(family) is not None:
                continue
            try:
                self._socket.run(nftables.set_table(family, PERSIST))
            except KernelRefused as error:
                if error.errno not in _NO_OWNERSHIP:
                    raise
                self._socket.run(nftables.set_table(family, 0))

    def _delete_tables(self) -> None:
        for family in FAMILIES:
            if self._socket.table_flags(family) is not None:
                self._run(nftables.delete_table(family))

    def _release(self) -> None:
        self._socket.close()
        self._socket = NftablesSocket()
        self._claimed = False
        self._generation = self._noted = -1
        self._prepared = {}

    def _run(self, command: Command) -> None:
        try:
            self._socket.run(command)
        except KernelRefused as error:
            raise _foreign_owner(error) from error


def _foreign_owner(error: KernelRefused) -> HostError:
    """Only the owner of a table may change it; others get EPERM, or EOPNOTSUPP for claiming it."""
    if error.errno not in {errno.EPERM, errno.EOPNOTSUPP}:
        return error
    return HostError(
        "The firewall tables of kvmweb belong to another running program.",
        code="tables_owned",
        remedy="Stop the other network worker of this host, or ask it instead.",
    )


def refuse(error: str) -> None:
    """Raise `HostError` where nft complained."""
    if error:
        raise HostError(
            f"nft refused the firewall rules: {error}",
            code="ruleset_refused",
            remedy="Check that nftables 1.0.6 or newer and its kernel parts are installed.",
        )


def complaint(commands: str) -> str:
    """Run commands as one transaction; returns the first line of the complaint, if any."""
    try:
        done = subprocess.run(
            ["nft", "-f", "-"],
            input=commands,
            capture_output=True,
            text=True,
            timeout=_NFT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(
            "The program nft is not installed on the host.",
            code="nft_missing",
            remedy="Install the package nftables.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostBusy("nft did not finish in time.") from error
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or ["no reason given"])[0][:300]
