"""The commands of a host: each is a module beside this one with `run(config)`, imported alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from kvmweb.core.errors import KvmwebError
from kvmweb.host.app import set_up_logging
from kvmweb.host.config import load
from kvmweb.host.files import Taken

COMMANDS = {
    "net": "serve the host's networks (bridges, NAT, DHCP)",
    "vm": "serve the host's virtual machines",
    "monitor": "report what libvirt sees and what the host is like",
    "restore": "put networks and virtual machines back from the stored specs",
    "explain": "say why a public endpoint, or the outside for a guest, is (not) reachable",
    "check": "show what is not as it should be; exit code 1 if anything is not",
    "reset": "remove everything kvmweb made on this host",
}
UNUSABLE, BUSY = 2, 3
_ASKED = ("what", "source", "to", "into")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, `UNUSABLE` or `BUSY`."""
    options = _parser().parse_args(arguments)
    set_up_logging(options.command)
    try:
        config = load(options.config)
        more = {each: getattr(options, each) for each in _ASKED if each in options}
        return int(import_module(f"kvmweb.host.program.{options.command}").run(config, **more))
    except Taken as taken:
        return _say(f"Another process of this host holds {taken}. End it first.", BUSY)
    except KvmwebError as error:
        return _say(f"{error.message} {error.remedy}".strip(), UNUSABLE)


def _say(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kvmweb.host", description="The program of a KVM host."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument("--config", type=Path, metavar="FILE", help="TOML or JSON")
        if name == "explain":
            help_text = "198.51.100.11:80/tcp, a host name, a guest (also by its MAC), or a network"
            command.add_argument("what", metavar="WHAT", help=help_text)
            command.add_argument("--from", dest="source", default="", metavar="ADDRESS")
            command.add_argument("--to", default="", metavar="ADDRESS:PORT/PROTOCOL|NETWORK")
            command.add_argument("--in", dest="into", default="", metavar="PORT/PROTOCOL")
    return parser
