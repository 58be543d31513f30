"""A network worker whose reconciler waits for the file `go` before it says done: `CONFIG`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from kvmweb.host.app import set_up_logging
from kvmweb.host.config import load
from kvmweb.host.progress import Outcome, Report, Step
from kvmweb.host.work import Op
from networks.host.spec import NetworkSpec
from networks.host.tasks import serve


class Slow:
    """Touches nothing of the kernel: for what lies between the broker and a reconciler."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def apply(self, spec: NetworkSpec, report: Report) -> Outcome:
        report(Step(key="wait", sentence="Waiting", state="running"))
        while not (self._folder / "go").exists():
            time.sleep(0.02)
        report(Step(key="wait", sentence="Waited"))
        return Outcome(ok=True, generation=spec.generation)

    def check(self, _: NetworkSpec) -> Sequence[Op]:
        return ()

    def restore(self, specs: Iterable[NetworkSpec], _: Report) -> list[Outcome]:
        return [Outcome(ok=True, generation=spec.generation) for spec in specs]


if __name__ == "__main__":
    file = Path(sys.argv[1])
    set_up_logging("net")
    sys.exit(serve(load(file), lambda: Slow(file.parent)))
