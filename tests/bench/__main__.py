"""script/bench [GROUP…] [--json FILE]: measure ours and the alternative in turn, print a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import job, nat, vms
from tests.bench.measure import Figure, save, table

GROUPS: dict[str, Callable[[], Iterator[Figure]]] = {
    "job": job.figures,
    "nat": nat.figures,
    "vms": vms.figures,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs there")
    wanted = parser.parse_args()
    if unknown := set(wanted.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    figures = []
    for group in wanted.groups or GROUPS:
        for figure in GROUPS[group]():
            print(
                f"{figure.group}: {' · '.join(cell for cell in figure.as_row() if cell)}",
                flush=True,
            )
            figures.append(figure)
    print("\n" + table(figures))
    if wanted.json:
        save(figures, wanted.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
