"""Which libvirtd this machine uses: its own if one answers, else a private one that is started.

`python -m kvmweb.server.libvirtd [--stop] STATE RUN` answers one JSON object on standard output.
A private one, once made, stays the one: its guests are in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from kvmweb.core.errors import KvmwebError
from kvmweb.host.config import ConfigError, load
from kvmweb.server.places import BUILT_IMAGE, Places
from vms.host.accelerator import probe
from vms.host.libvirtd import PrivateLibvirtd, start_private

SYSTEM = "qemu:///system"
_SECONDS = 15


def choose(places: Places) -> dict[str, object]:
    """The URI to use, and what to tell the person in front. Raises KvmwebError."""
    known = _configured(places)
    private = _private(places)
    if known not in {None, SYSTEM, private.uri}:
        return {"uri": known, "sentences": []}
    if not private.state.exists() and _answers(SYSTEM):
        return {"uri": SYSTEM, "sentences": []}
    if private.pid is not None:
        return {"uri": private.uri, "sentences": []}
    places.state.joinpath("host").mkdir(exist_ok=True)
    found = probe(BUILT_IMAGE, cache=places.state / "host" / "accelerator.json")
    start_private(private.run, private.state, hide_kvm=found.accelerator != "kvm")
    sentence = "No libvirtd runs here, so one was started for the panel's guests."
    return {"uri": private.uri, "sentences": [sentence]}


def _private(places: Places) -> PrivateLibvirtd:
    return PrivateLibvirtd(run=places.run / "libvirtd", state=places.state / "libvirt")


def _configured(places: Places) -> str | None:
    try:
        return load(places.host_config).libvirt_uri
    except ConfigError:
        return None


def _answers(uri: str) -> bool:
    """Asked by a program of its own: a hung libvirtd keeps whoever opens it waiting for ever."""
    command = ["virsh", "--connect", uri, "--readonly", "uri"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise KvmwebError(
            "This machine's libvirtd runs but does not answer.", remedy="Restart libvirtd."
        ) from None
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m kvmweb.server.libvirtd")
    parser.add_argument("--stop", action="store_true", help="end the private one, if it runs")
    parser.add_argument("state", type=Path)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    places = Places(options.state)
    if options.stop:
        _private(places).stop()
        return 0
    try:
        json.dump(choose(places), sys.stdout)
    except KvmwebError as error:
        print(f"{error.message} {error.remedy}".strip(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
