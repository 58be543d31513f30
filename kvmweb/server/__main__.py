"""`python -m kvmweb.server`: the panel and its host on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys

from kvmweb.server import instance, places
from kvmweb.server.reset import confirmed, reset
from kvmweb.server.start import Wanted, run, state_folder

_PORTS = range(1, 65536)


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    options = _parser().parse_args()
    where = places.Places(options.state)
    if options.reset:
        return reset(where) if options.yes or confirmed(where) else 1
    try:
        places.make(where)
        with instance.held(where.lock):
            return run(
                Wanted(
                    places=where,
                    listen=options.listen,
                    port=options.port,
                    demo=not options.no_demo,
                )
            )
    except instance.Running as running:
        print(f"The server of {where.state} runs already (process {running.pid}).")
        return 1
    except (OSError, ValueError) as error:
        print(error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="script/server", description=__doc__)
    parser.add_argument("--port", type=_port, default=8000, help="of the panel (8000)")
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="(127.0.0.1)")
    parser.add_argument("--no-demo", action="store_true", help="make no network and no VM")
    parser.add_argument(
        "--state",
        type=state_folder,
        default=places.DEFAULT_STATE,
        metavar="FOLDER",
        help="where everything is kept (/var/lib/kvmweb)",
    )
    parser.add_argument("--reset", action="store_true", help="remove everything that was made")
    parser.add_argument("--yes", action="store_true", help="with --reset: do not ask")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) not in _PORTS:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
