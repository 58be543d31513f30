"""The program of a KVM host: `python -m kvmweb.host COMMAND --config FILE`."""

from __future__ import annotations

import sys
from importlib import import_module

# Packages that libraries load only because they are installed, and that a host has no use for.
# Barred before anything else is imported, they cost no memory, and an import of a model fails.
BARRED = ("django", "greenlet", "msgpack", "yaml")

if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(BARRED))  # type: ignore[arg-type]
    sys.exit(import_module("kvmweb.host.program.cli").main())
