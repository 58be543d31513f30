"""Images come in whole, in whatever format, or not at all; nothing is left behind."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from kvmweb.host.progress import Outcome, Step
from tests.vms.library.conftest import LIMITS, MIB, Desk, Site, qemu_img, sha256, spec_of
from vms.library.layout import Library
from vms.library.reconcile import Librarian
from vms.library.spec import ImageSpec

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[3]


def same_disk(made: Path, raw: Path) -> bool:
    return "identical" in qemu_img("compare", "-f", "raw", "-F", "qcow2", str(raw), str(made))


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk", "vhdx"])
def test_every_format_becomes_the_same_qcow2(
    kind: str, disks: dict[str, bytes], raw_disk: Path, desk: Desk
) -> None:
    spec = desk.upload(disks[kind], checksum=sha256(disks[kind]))
    outcome = desk.apply(spec)
    made = desk.library.image(spec.subject)
    assert outcome.ok, outcome.message
    assert outcome.observed == {
        "sha256": hashlib.sha256(made.read_bytes()).hexdigest(),
        "size_bytes": made.stat().st_size,
        "virtual_size_bytes": 4 * MIB,
        "found_checksum": sha256(disks[kind]),
        "found_format": kind,
    }
    assert same_disk(made, raw_disk)
    assert made.stat().st_uid == os.geteuid()
    assert desk.files() == [f"library/{spec.subject}.json", f"library/{spec.subject}.qcow2"]
    assert {step.percent for step in desk.steps} >= {100}


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_packed_disks_are_unpacked(
    pack: Callable[[bytes], bytes], disks: dict[str, bytes], raw_disk: Path, desk: Desk
) -> None:
    spec = desk.upload(pack(disks["raw"]))
    assert desk.apply(spec).ok
    assert same_disk(desk.library.image(spec.subject), raw_disk)


def test_a_second_time_changes_nothing(disks: dict[str, bytes], desk: Desk) -> None:
    spec = desk.upload(disks["qcow2"])
    first = desk.apply(spec)
    desk.steps.clear()
    assert desk.apply(spec) == first
    assert desk.steps == []


def test_an_image_that_goes_leaves_nothing(disks: dict[str, bytes], desk: Desk) -> None:
    made = desk.upload(disks["qcow2"])
    desk.apply(made)
    waiting = desk.upload(b"half")
    for spec in (made, waiting):
        gone = replace(spec, present=False, generation=2)
        assert desk.apply(gone).ok
        assert desk.apply(gone).ok
    assert desk.files() == []


def test_an_image_comes_from_a_url_by_its_publishers_list(
    disks: dict[str, bytes], desk: Desk, site: Site
) -> None:
    site.bodies["/debian.qcow2"] = disks["qcow2"]
    site.redirects["/latest/debian.qcow2"] = "/debian.qcow2"
    digest = hashlib.sha512(disks["qcow2"]).hexdigest()
    site.bodies["/latest/SHA512SUMS"] = f"{'0' * 128}  other\n{digest}  debian.qcow2\n".encode()
    spec = spec_of(
        origin="url",
        url=f"{site.url}/latest/debian.qcow2",
        checksum_url=f"{site.url}/latest/SHA512SUMS",
    )
    outcome = desk.apply(spec)
    assert outcome.ok, outcome.message
    assert outcome.observed["found_checksum"] == f"sha512:{digest}"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"checksum": "sha256:" + "0" * 64}, "image_checksum"),
        ({"checksum": "", "checksum_url": "/SUMS"}, "image_no_checksum"),
        ({"checksum": ""}, "image_no_checksum"),
        ({"url": "/missing"}, "image_source"),
        ({"url": "/short"}, "host_busy"),
    ],
)
def test_what_is_not_what_was_asked_for_is_refused(
    changes: dict[str, str], code: str, disks: dict[str, bytes], desk: Desk, site: Site
) -> None:
    site.bodies |= {"/d": disks["qcow2"], "/short": b"QFI", "/SUMS": b"nothing\n"}
    site.claims["/short"] = 100
    values = {"url": "/d", "checksum": sha256(disks["qcow2"])} | changes
    for name in ("url", "checksum_url"):
        if values.get(name):
            values[name] = site.url + values[name]
    outcome = desk.apply(spec_of(origin="url", **values))
    assert (outcome.ok, outcome.code) == (False, code)
    assert [name for name in desk.files() if not name.endswith(".part")] == []


def test_an_upload_that_is_not_whole_is_refused(desk: Desk) -> None:
    spec = replace(desk.upload(b"QFI\xfb"), upload_bytes=5)
    assert desk.apply(spec).code == "image_incomplete"
    assert desk.files() == []


def test_a_full_disk_is_told_with_its_figures(disks: dict[str, bytes], desk: Desk) -> None:
    spec = desk.upload(disks["raw"], limits=replace(LIMITS, spare=1 << 60))
    outcome = desk.apply(spec)
    assert (outcome.code, "are free" in outcome.message) == ("disk_full", True)
    assert desk.apply(replace(spec, limits=LIMITS)).ok


KILLED = """
import os, signal, sys, msgspec
from pathlib import Path
from kvmweb.host.progress import silent
from vms.library.layout import Library
from vms.library.reconcile import Librarian
from vms.library.spec import ImageSpec
left = int(sys.argv[2])
def die(op):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
def step(step):
    if sys.argv[3] == step.sentence.split()[0] and (step.percent or 0) >= 40:
        os.kill(os.getpid(), signal.SIGKILL)
spec = msgspec.json.decode(sys.stdin.buffer.read(), type=ImageSpec)
outcome = Librarian(Library(Path(sys.argv[1])), after_op=die).apply(spec, step)
sys.stdout.buffer.write(msgspec.json.encode(outcome))
"""


def killed(library: Library, spec: ImageSpec, operations: int, word: str = "-") -> Outcome | None:
    """The outcome in a process of its own, or None when it died there."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(library.root), str(operations), word],
        input=msgspec.json.encode(spec),
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Outcome)


def test_killed_after_any_operation_it_is_finished_by_the_next_try(
    disks: dict[str, bytes], raw_disk: Path, desk: Desk, site: Site
) -> None:
    site.bodies["/d"] = gzip.compress(disks["qcow2"])
    spec = spec_of(origin="url", url=f"{site.url}/d", checksum=sha256(site.bodies["/d"]))
    for word in ("Fetching", "Unpacking", "Converting", "Reading"):
        assert killed(desk.library, spec, 0, word) is None, word
    tries = 0
    while (outcome := killed(desk.library, spec, 1)) is None:
        tries += 1
    assert outcome.ok
    assert tries == 2, "Convert and Clear; it was fetched whole before"
    assert same_disk(desk.library.image(spec.subject), raw_disk)
    assert desk.files() == [f"library/{spec.subject}.json", f"library/{spec.subject}.qcow2"]
    gone = replace(spec, present=False, generation=2)
    while killed(desk.library, gone, 1) is None:
        pass
    assert desk.files() == []


@pytest.mark.parametrize("sentence", ["Reading what", "Unpacking", "Converting", "Reading the new"])
def test_an_import_ends_where_it_is_cancelled_and_nothing_is_left(
    disks: dict[str, bytes], desk: Desk, sentence: str
) -> None:
    spec = desk.upload(gzip.compress(disks["raw"]))

    def report(step: Step) -> None:
        if step.sentence.startswith(sentence):
            desk.library.stopped(spec.subject).touch()

    outcome = Librarian(desk.library).apply(spec, report)
    assert (outcome.ok, outcome.code) == (False, "overtaken")
    assert desk.apply(replace(spec, generation=2, present=False)).ok
    assert desk.files() == []


def test_cancelled_too_late_the_image_goes_all_the_same(
    disks: dict[str, bytes], desk: Desk
) -> None:
    spec = desk.upload(disks["raw"])
    assert desk.apply(spec).ok
    desk.library.stopped(spec.subject).touch()
    assert desk.apply(replace(spec, generation=2, present=False)).ok
    assert desk.files() == []


def test_an_iso_is_kept_as_one_though_nothing_boots_from_its_first_sector(desk: Desk) -> None:
    content = bytearray(2 * MIB)
    content[0x8001:0x8006] = b"CD001"
    outcome = desk.apply(desk.upload(bytes(content)))
    assert outcome.ok, outcome
    assert (outcome.observed["found_format"], outcome.observed["virtual_size_bytes"]) == (
        "iso",
        2 * MIB,
    )
