"""Making a machine known as a host: its row, its address, and the configuration it starts with.

Doing it twice is doing it once. The key is made with the row and travels in that file alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import transaction

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.host.files import write_durably
from kvmweb.hosts.models import Host, PublicAddress


@dataclass(frozen=True, slots=True)
class HostFolders:
    """Where the host keeps its things and which libvirt it talks to."""

    state: Path
    run: Path
    libvirt_uri: str = "qemu:///system"


def enrol(name: str, *, address: str) -> Host:
    """The host `name` with `address` among its public addresses, the default one if it has none.

    Raises Invalid for a name or address that cannot be one, Conflict for another host's address.
    """
    wanted = _parse(address)
    with transaction.atomic():
        host = lock(Host.objects.filter(name=name)).first() or _insert(name)
        _give(host, wanted)
    return host


def _parse(address: str) -> str:
    try:
        return str(IPv4Address(address))
    except AddressValueError as error:
        raise Invalid(f"{address} is not an IPv4 address.", field="address") from error


def _insert(name: str) -> Host:
    host = Host(name=name)
    try:
        host.full_clean()
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="name") from error
    host.save()
    return host


def _give(host: Host, address: str) -> None:
    known = PublicAddress.objects.select_related("host").filter(address=address).first()
    if known is None:
        first = not host.public_addresses.filter(is_default=True).exists()
        new = PublicAddress(host=host, address=address, is_default=first)
        try:
            new.full_clean()
        except ValidationError as error:
            raise Invalid(" ".join(error.messages), field="address") from error
        new.save()
    elif known.host_id != host.pk:
        raise Conflict(f"{address} belongs to host {known.host}.", field="address")


def write_configuration(host: Host, file: Path, *, broker: str, folders: HostFolders) -> None:
    """Write `file` and the secrets beside it, all readable by their owner alone.

    An entry that an operator added by hand to an existing file is theirs: an existing file stays,
    its secrets are renewed.
    """
    key, broker_file = file.with_suffix(".key"), file.with_suffix(".broker")
    for path, secret in ((key, host.key), (broker_file, broker)):
        _write_private(path, f"{secret}\n")
    if not file.exists():
        _write_private(file, _toml(host, folders, key.name, broker_file.name))


def _toml(host: Host, folders: HostFolders, key: str, broker: str) -> str:
    entries = {
        "name": host.name,
        "key_file": key,
        "broker_file": broker,
        "state": str(folders.state),
        "run": str(folders.run),
        "libvirt_uri": folders.libvirt_uri,
    }
    lines = [f"{entry} = {_quoted(value)}\n" for entry, value in entries.items()]
    return "# What this host is called and how it reaches the panel.\n" + "".join(lines)


def _quoted(value: str) -> str:
    """A TOML basic string."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, text.encode())
    path.chmod(0o600)
