"""What guests run under is found by running one: a /dev/kvm that opens proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.libvirtd import LibvirtHost
from tests.vms.host.conftest import ROOT
from vms.host.accelerator import probe, try_guest

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(120)]


def test_what_it_says_is_what_a_guest_gets(image: Path, tmp_path: Path) -> None:
    """On a machine whose KVM works it says so; else it says why not."""
    cache = tmp_path / "accelerator.json"
    found = probe(image, 15, cache=cache)
    assert found.accelerator == ("kvm" if "KVM works" in found.reason else "tcg")
    if Path("/dev/kvm").exists():
        begin = time.monotonic()
        assert probe(image, 15, cache=cache) == found
        assert time.monotonic() - begin < 0.5


def test_a_guest_that_comes_up_is_noticed(image: Path) -> None:
    """The same command line with an accelerator that every machine has."""
    tried = try_guest(image, 60, accelerator="tcg", cpu="max")
    assert tried.up, tried


def test_a_guest_that_never_comes_up_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    empty = tmp_path / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", empty, "1M"], check=True)
    begin = time.monotonic()
    tried = try_guest(empty, 1, accelerator="tcg", cpu="qemu64")
    assert time.monotonic() - begin < 10
    assert not tried.up
    assert tried.said == ""


def test_a_cache_of_another_machine_is_not_believed(image: Path, tmp_path: Path) -> None:
    cache = tmp_path / "accelerator.json"
    cache.write_text('{"machine": "other", "found": {"accelerator": "kvm", "reason": "long ago"}}')
    assert probe(image, 15, cache=cache).reason != "long ago"


def test_without_the_device_it_says_so(host: LibvirtHost, image: Path) -> None:
    program = f"import vms.host.accelerator as a; print(a.probe(a.Path({str(image)!r})))"
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    said = host.run(sys.executable, "-c", program, env=environment)
    assert "accelerator='tcg', reason='There is no /dev/kvm" in said
