"""What compiled files ask for: shared libraries of programs, other modules of kernel modules."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable
from pathlib import Path

from vms.builtin.debian import BuildError, run

LOADER = "ld-linux-x86-64.so.2"


def shared_libraries(program: Path, tree: Path) -> dict[str, Path]:
    """All libraries a program loads, by soname, found in the library directories of `tree`."""
    found: dict[str, Path] = {}
    waiting = [program, _library(tree, LOADER)]
    found[LOADER] = waiting[-1]
    while waiting:
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", waiting.pop())):
            if name not in found:
                found[name] = _library(tree, name)
                waiting.append(found[name])
    return found


def _library(tree: Path, name: str) -> Path:
    for where in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64"):
        path = tree / where / name
        if path.exists():
            return path.resolve()
    raise BuildError(f"The library {name} is in none of the fetched packages.")


class KernelModules:
    """The modules of one kernel tree, named as the kernel does: `virtio_rng`, not `virtio-rng`."""

    def __init__(self, directory: Path) -> None:
        self._paths = {
            re.sub(r"\.ko(\.xz)?$", "", path.name).replace("-", "_"): path
            for path in directory.rglob("*.ko*")
        }

    def content(self, name: str) -> bytes:
        """The module as insmod takes it, not compressed."""
        path = self._paths[name]
        return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()

    def in_order(self, wanted: Iterable[str], loaded: Iterable[str] = ()) -> list[str]:
        """`wanted` and all they depend on, each after what it needs, without those `loaded` before.

        A wanted module that this kernel does not have is built into it and left out.
        """
        order: list[str] = []
        done = set(loaded)

        def add(name: str) -> None:
            if name in done or name not in self._paths:
                return
            done.add(name)
            for needed in self._needs(name):
                add(needed)
            order.append(name)

        for name in wanted:
            add(name)
        return order

    def _needs(self, name: str) -> list[str]:
        found = re.search(rb"\0depends=([^\0]*)\0", self.content(name))
        names = found[1].decode().split(",") if found else []
        return [each.replace("-", "_") for each in names if each]
