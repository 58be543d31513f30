"""Debian packages as a source of files: resolved and fetched by apt, unpacked, never installed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"
PROGRAMS = ("busybox-static", "dropbear-bin")


class BuildError(Exception):
    """The image cannot be built here; the message says why and what would help."""


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """The standard output of a program that has to succeed."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C"} | (env or {}),
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise BuildError(
            f"The program {command[0]} is missing; vms/builtin/packages.txt names what to install."
        ) from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{command[0]} failed: {error.stderr.strip()[-600:]}") from error
    return done.stdout


def package_names() -> list[str]:
    """The kernel's real package and the programs with all that they depend on."""
    kernels = re.findall(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", KERNEL))
    if not kernels:
        raise BuildError(f"apt knows no {KERNEL}; run apt-get update.")
    closure = run("apt-cache", "depends", "--recurse", "--important", *PROGRAMS)
    return [
        kernels[0],
        *sorted(set(re.findall(r"^([a-z0-9][a-z0-9.+-]+)$", closure, re.MULTILINE))),
    ]


def described(names: list[str]) -> str:
    """One line for each package, with its file name, size and checksum, as apt would fetch it."""
    return run("apt-get", "download", "--print-uris", *names)


def unpacked(names: list[str], where: Path) -> Path:
    """The files of all packages, in one tree under `where`."""
    run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *names, cwd=where)
    tree = where / "tree"
    for package in sorted(where.glob("*.deb")):
        run("dpkg-deb", "-x", package, tree)
    return tree
