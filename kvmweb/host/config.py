"""Where a host keeps its things and how it reaches the panel: one file, read and checked at start.

The file is TOML, or JSON when its name ends in `.json`. Secrets may stand in files of their own
(`key_file`, `broker_file`), so that the configuration itself can be shown to anybody. Relative
paths count from the file's folder.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from kvmweb.core.errors import KvmwebError

ENVIRONMENT = "KVMWEB_HOST_CONFIG"
DEFAULT_FILE = Path("/etc/kvmweb/host.toml")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_BROKERS = ("redis", "rediss", "redis+socket")
_SHORTEST_KEY = 16
_STATE = Path("/var/lib/kvmweb/host")
_RUN = Path("/run/kvmweb")
_LIBVIRT = "qemu:///system"
_VM_SLOTS = 2
_IMAGE_CACHE_GIB = 20
_TRIAL_IMAGE = Path(__file__).resolve().parents[2] / ".cache" / "image" / "hello.qcow2"

Accelerator = Literal["auto", "kvm", "tcg"]


class ConfigError(KvmwebError):
    """The configuration cannot be used; the message names the file and the entry."""

    code = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPaths:
    """Folders of a host. `state` survives a reboot, `run` does not."""

    state: Path = _STATE
    run: Path = _RUN
    images: Path = _STATE / "images"
    disks: Path = _STATE / "disks"

    @classmethod
    def under(cls, state: Path, run: Path) -> HostPaths:
        """The usual folders below `state`."""
        return cls(state=state, run=run, images=state / "images", disks=state / "disks")

    @property
    def specs(self) -> Path:
        """The newest spec of every subject, see `kvmweb.host.store`."""
        return self.state / "specs"

    @property
    def routers(self) -> Path:
        """Namespaces of networks with a router of their own, see `networks.host.own_router`."""
        return self.run / "routers"

    @property
    def outbox(self) -> Path:
        """Outcomes that could not be sent yet, see `kvmweb.host.post`."""
        return self.state / "outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """`uplinks` are the interfaces to the outside; none means those of the default routes.

    `vm_slots` is how many VMs are worked on at the same time. `accelerator` is what guests run
    under, "auto" what a trial with a guest of `trial_image` shows. `image_cache_gib` is how much
    of images that no VM stands on is kept.
    """

    name: str
    broker: str
    key: str
    paths: HostPaths = HostPaths()
    libvirt_uri: str = _LIBVIRT
    uplinks: tuple[str, ...] = ()
    vm_slots: int = _VM_SLOTS
    accelerator: Accelerator = "auto"
    trial_image: Path = _TRIAL_IMAGE
    image_cache_gib: int = _IMAGE_CACHE_GIB

    @property
    def net_queue(self) -> str:
        """The Celery queue of this host's network worker."""
        return f"host.{self.name}.net"

    @property
    def vm_queue(self) -> str:
        """The Celery queue of this host's VM worker."""
        return f"host.{self.name}.vm"


def load(path: Path | None = None) -> HostConfig:
    """The configuration in `path`, else where `KVMWEB_HOST_CONFIG` points, else in /etc/kvmweb."""
    file = path or Path(os.environ.get(ENVIRONMENT) or DEFAULT_FILE)
    try:
        text = file.read_text()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    return _Reader(file, _decode(file, text)).config()


def _decode(file: Path, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise ConfigError(f"{file} is not valid {kind}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file} must hold an object")
    return data


class _Reader:
    """Checks one decoded file; every message says which entry of which file is wrong."""

    _known = frozenset(
        {field.name for field in fields(HostConfig) if field.name != "paths"}
        | {field.name for field in fields(HostPaths)}
        | {"key_file", "broker_file"}
    )

    def __init__(self, file: Path, data: Mapping[str, Any]) -> None:
        self._file = file
        self._data = data

    def config(self) -> HostConfig:
        unknown = sorted(set(self._data) - self._known)
        if unknown:
            raise self._wrong(unknown[0], "is not an entry this program knows")
        return HostConfig(
            name=self._name(),
            broker=self._broker(),
            key=self._key(),
            paths=self._paths(),
            libvirt_uri=self._text("libvirt_uri", _LIBVIRT),
            uplinks=self._uplinks(),
            vm_slots=self._slots(),
            accelerator=self._accelerator(),
            trial_image=self._path("trial_image", _TRIAL_IMAGE),
            image_cache_gib=self._cache(),
        )

    def _name(self) -> str:
        name = self._text("name")
        if not _NAME.fullmatch(name):
            raise self._wrong("name", "must be lower-case letters, digits and dashes, at most 63")
        return name

    def _broker(self) -> str:
        broker = self._secret("broker")
        if urlsplit(broker).scheme not in _BROKERS:
            raise self._wrong(
                "broker", "must be a redis://, rediss:// or redis+socket:///path/of.sock URL"
            )
        return broker

    def _key(self) -> str:
        key = self._secret("key")
        if len(key) < _SHORTEST_KEY:
            raise self._wrong("key", f"must have at least {_SHORTEST_KEY} characters")
        return key

    def _paths(self) -> HostPaths:
        state = self._path("state", _STATE)
        return HostPaths(
            state=state,
            run=self._path("run", _RUN),
            images=self._path("images", state / "images"),
            disks=self._path("disks", state / "disks"),
        )

    def _uplinks(self) -> tuple[str, ...]:
        value = self._data.get("uplinks", [])
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise self._wrong("uplinks", "must be a list of interface names")
        return tuple(value)

    def _slots(self) -> int:
        value = self._data.get("vm_slots", _VM_SLOTS)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 64:
            raise self._wrong("vm_slots", "must be a number from 1 to 64")
        return value

    def _cache(self) -> int:
        value = self._data.get("image_cache_gib", _IMAGE_CACHE_GIB)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong("image_cache_gib", "must be a number of GiB, 0 or more")
        return value

    def _accelerator(self) -> Accelerator:
        value = self._text("accelerator", "auto")
        if value not in get_args(Accelerator):
            raise self._wrong("accelerator", 'must be "auto", "kvm" or "tcg"')
        return cast("Accelerator", value)

    def _path(self, entry: str, default: Path) -> Path:
        return self._file.parent.absolute() / self._text(entry, str(default))

    def _secret(self, entry: str) -> str:
        source = f"{entry}_file"
        if source not in self._data:
            return self._text(entry)
        if entry in self._data:
            raise self._wrong(source, f"and {entry} are both given; keep one")
        path = self._file.parent / self._text(source)
        try:
            return path.read_text().strip()
        except OSError as error:
            raise self._wrong(source, f"{path} cannot be read: {error.strerror}") from error

    def _text(self, entry: str, default: str | None = None) -> str:
        value = self._data.get(entry, default)
        if value is None:
            raise self._wrong(entry, "is missing")
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(entry, "must be a text that is not empty")
        return value

    def _wrong(self, entry: str, reason: str) -> ConfigError:
        return ConfigError(f"{self._file}: {entry} {reason}", field=entry)
