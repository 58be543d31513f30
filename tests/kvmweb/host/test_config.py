"""A host's configuration is read whole and refused with a plain sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kvmweb.host.config import ENVIRONMENT, ConfigError, HostPaths, load

pytestmark = pytest.mark.pure

GOOD = {"name": "h1", "broker": "redis+socket:///run/redis.sock", "key": "0123456789abcdef"}


def written(folder: Path, **entries: Any) -> Path:
    path = folder / "host.json"
    path.write_text(json.dumps({**GOOD, **entries}))
    return path


def test_the_least_it_needs(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    assert (config.net_queue, config.vm_queue) == ("host.h1.net", "host.h1.vm")
    assert config.paths == HostPaths()
    assert config.libvirt_uri == "qemu:///system"


def test_toml_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "host.toml"
    path.write_text("\n".join(f'{name} = "{value}"' for name, value in GOOD.items()))
    monkeypatch.setenv(ENVIRONMENT, str(path))
    assert load().name == "h1"


def test_secrets_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("fedcba9876543210\n")
    path = tmp_path / "host.json"
    path.write_text(json.dumps({"name": "h1", "broker": GOOD["broker"], "key_file": "key"}))
    assert load(path).key == "fedcba9876543210"


def test_folders_follow_the_state_folder(tmp_path: Path) -> None:
    paths = load(written(tmp_path, state="state", run=str(tmp_path / "run"))).paths
    assert paths == HostPaths.under(tmp_path / "state", tmp_path / "run")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"name": "No Good"}, "name must be lower-case"),
        ({"name": 3}, "name must be a text"),
        ({"broker": "amqp://x"}, "broker must be a redis"),
        ({"key": "short"}, "key must have at least 16"),
        ({"key_file": "key"}, "key_file and key are both given"),
        ({"uplinks": "eth0"}, "uplinks must be a list"),
        ({"vm_slots": 0}, "vm_slots must be a number"),
        ({"accelerator": "hvf"}, "accelerator must be"),
        ({"colour": "red"}, "colour is not an entry"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, entries: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(written(tmp_path, **entries))


def test_a_missing_entry_a_missing_file_and_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "host.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)
    path.write_text("= nonsense")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(path)
    path.write_text('broker = "redis://x"')
    with pytest.raises(ConfigError, match="name is missing"):
        load(path)
