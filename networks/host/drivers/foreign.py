"""The base chains of everybody but us: by `nft -j`, and by iptables where nft cannot show them.

Our own tables are never listed, for they hold every element of every network.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from kvmweb.core.errors import HostBusy
from networks.host.chains.iptables import iptables_base_chains
from networks.host.chains.judging import BaseChain
from networks.host.chains.nft import nft_base_chains, uses_iptables
from networks.host.elements import TABLE

_SECONDS = 3.0
_NFT_FAMILIES = {4: "ip", 6: "ip6"}
_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_LEGACY = {
    version: Path(f"/proc/thread-self/net/{family}_tables_names")
    for version, family in _NFT_FAMILIES.items()
}


def forward_chains(version: int = 4) -> tuple[list[BaseChain], list[str]]:
    """Every foreign base chain on the forward hook, and what could not be read, in words."""
    return base_chains("forward", version)


def base_chains(hook: str, version: int = 4) -> tuple[list[BaseChain], list[str]]:
    """Every foreign base chain on a hook of IPv4 or IPv6, and what could not be read, in words."""
    program = _PROGRAMS[version]
    found: list[BaseChain] = []
    unread: list[str] = []
    for family, table in sorted(_tables(hook, version)):
        listing = _nft(f"list table {family} {table}")
        if not uses_iptables(listing):
            found += nft_base_chains(listing, hook)
        elif (saved := _saved(f"{program}-nft-save")) is not None:
            chains = iptables_base_chains(saved, family, hook)
            found += [each for each in chains if each.label.split()[1] == table]
        else:
            found += nft_base_chains(listing, hook)
    if _legacy(version):
        saved = _saved(f"{program}-legacy-save")
        if saved is None:
            unread.append(
                f"rules of {program}-legacy, for want of the program {program}-legacy-save"
            )
        else:
            found += iptables_base_chains(saved, f"{program}-legacy", hook)
    return found, unread


def _tables(hook: str, version: int) -> set[tuple[str, str]]:
    families = {_NFT_FAMILIES[version], "inet"}
    chains = (each["chain"] for each in _nft("list chains") if "chain" in each)
    return {
        (chain["family"], chain["table"])
        for chain in chains
        if chain.get("hook") == hook and chain["family"] in families and chain["table"] != TABLE
    }


def _legacy(version: int) -> str:
    """Opening the file loads no module; where iptables-legacy was never used it is empty."""
    try:
        return _LEGACY[version].read_text()
    except OSError:
        return ""


def _nft(command: str) -> list[dict[str, Any]]:
    said = _output("nft", "-j", *command.split())
    return json.loads(said)["nftables"] if said else []


def _saved(program: str) -> str | None:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    return _output(path) if path else None


def _output(*command: str) -> str:
    """What a program printed; nothing where it failed or is not there."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        return ""
    except subprocess.TimeoutExpired as error:
        raise HostBusy(f"{command[0]} did not answer in time.") from error
    return done.stdout if done.returncode == 0 else ""
