"""Taking everything away again that was made on this machine; installed packages stay."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable

from kvmweb.server import instance, programs
from kvmweb.server.places import CHECKOUT, Places
from kvmweb.server.remnants import Remnants

_SECONDS = 600


def confirmed(places: Places) -> bool:
    """Whether the person in front means it. Nobody in front has not meant it."""
    print(f"This removes everything kvmweb made on this machine ({places.state}):")
    print("guests with their disks, networks, forwards, accounts and history.")
    try:
        return input("Type “reset” to go on: ").strip() == "reset"
    except EOFError:
        return False


def reset(places: Places, say: Callable[[str], None] = print) -> int:
    """Stop what runs, remove it from the kernel and libvirt, then from the disk."""
    if not places.mark.exists():
        say(f"There is nothing of kvmweb in {places.state}.")
        _remove_run(places)
        return 0
    if not instance.end(places.lock):
        say("The running server does not end. Stop it first.")
        return 1
    with instance.held(places.lock):
        if not Remnants(places.children).end():
            say("Processes of the last start do not end. Kill them first.")
            return 1
        if not _leave_host(places, say):
            return 1
        shutil.rmtree(places.state)
    _remove_run(places)
    say("Everything kvmweb made on this machine is removed. Installed packages stay.")
    return 0


def _leave_host(places: Places, say: Callable[[str], None]) -> bool:
    """Guests, bridges and tables first: once the files are gone, nobody knows them any more."""
    if places.host_config.exists():
        _run(sys.executable, "-m", "kvmweb.server.libvirtd", str(places.state), str(places.run))
        done = _run(*programs.host_command(places, "reset"))
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip()
            say(text or f"The host's reset ended with code {done.returncode}.")
            say(f"Nothing was removed from {places.state}; mend this and try again.")
            return False
    _run(
        sys.executable, "-m", "kvmweb.server.libvirtd", "--stop", str(places.state), str(places.run)
    )
    return True


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=_SECONDS, check=False)


def _remove_run(places: Places) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(places.run)
