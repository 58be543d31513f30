"""Files that are made to read the host, to fill it, or to lie about what they are."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vms.library.conftest import LIMITS, MIB, Desk, qemu_img
from vms.library import confined
from vms.library.failures import BadImage

pytestmark = pytest.mark.kernel


def refused(content: bytes, desk: Desk, **changes: object) -> str:
    """The code of the refusal; the library is empty afterwards."""
    outcome = desk.apply(desk.upload(content, **changes))
    assert not outcome.ok
    assert outcome.message
    assert desk.files() == []
    assert not list(desk.library.work.iterdir())
    return outcome.code


@pytest.mark.parametrize(
    "words",
    [
        ("-b", "/etc/shadow", "-F", "raw", "FILE", "1M"),
        ("-b", 'json:{"driver":"file","filename":"/etc/shadow"}', "-F", "raw", "-u", "FILE",
         "1M"),
        ("-o", "data_file=DATA", "FILE", "1M"),
        ("-o", "data_file=DATA,data_file_raw=on", "FILE", "1M"),
    ],
)  # fmt: skip
def test_a_qcow2_that_points_at_another_file(
    words: tuple[str, ...], desk: Desk, tmp_path: Path
) -> None:
    path = tmp_path / "bad"
    names = {"FILE": str(path), "DATA": str(tmp_path / "data")}
    filled = [word.replace("DATA", names["DATA"]).replace("FILE", names["FILE"]) for word in words]
    qemu_img("create", "-q", "-f", "qcow2", *filled)
    assert refused(path.read_bytes(), desk) == "image_format"


def test_a_vmdk_that_only_describes(desk: Desk) -> None:
    text = (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        'createType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'
    )
    assert refused(text.encode(), desk) == "image_format"
    # The same inside of what begins like a sparse disk without a capacity of its own.
    header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 20).ljust(512, b"\0")
    assert refused(header + text.encode().ljust(20 * 512, b"\0"), desk) == "image_format"


def test_a_vmdk_with_a_parent(desk: Desk, disks: dict[str, bytes]) -> None:
    content = bytearray(disks["vmdk"])
    at = content.index(b"createType=")
    hint = b'parentFileNameHint="/etc/shadow"\n'
    content[at : at + len(hint)] = hint
    assert refused(bytes(content), desk) == "image_format"


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_bomb_stops_at_the_limit(pack: Callable[[bytes], bytes], desk: Desk) -> None:
    bomb = pack(b"\x55\xaa" * (40 * MIB))
    assert len(bomb) < MIB
    assert refused(bomb, desk) == "image_too_large"


def test_what_is_packed_badly(desk: Desk, disks: dict[str, bytes]) -> None:
    packed = gzip.compress(disks["raw"])
    assert refused(packed[: len(packed) // 2], desk) == "image_format"
    assert refused(b"\xfd7zXZ\x00 no xz", desk) == "image_format"


def test_a_disk_that_claims_to_be_huge(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "huge"
    qemu_img("create", "-q", "-f", "qcow2", str(path), "64T")
    assert path.stat().st_size < 2 * MIB
    assert refused(path.read_bytes(), desk) == "image_too_large"


def test_a_disk_that_grows_past_the_limit_when_converted(
    desk: Desk, disks: dict[str, bytes], tmp_path: Path
) -> None:
    """What compresses well is small to send and large to keep."""
    raw, path = tmp_path / "raw", tmp_path / "small"
    raw.write_bytes(b"\x55\xaa" * (8 * MIB))
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path))
    limits = replace(LIMITS, file=4 * MIB)
    assert refused(path.read_bytes(), desk, limits=limits) == "image_too_large"


def test_converting_has_room_for_its_threads(tmp_path: Path) -> None:
    """How many there are is chance; what it may take of memory must do for all of them."""
    raw, path = tmp_path / "raw", tmp_path / "small"
    raw.write_bytes(b"\x55\xaa" * (8 * MIB))
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path))
    for _ in range(25):
        with pytest.raises(confined.TooLarge):
            confined.convert(
                path, "qcow2", tmp_path / "made", most=4 * MIB, progress=lambda _: None
            )


def test_wrong_sizes_in_a_header(desk: Desk, disks: dict[str, bytes]) -> None:
    """The tables it speaks of lie behind its end."""
    content = bytearray(disks["qcow2"])
    struct.pack_into(">Q", content, 40, 1 << 50)
    assert refused(bytes(content), desk) == "image_format"
    assert refused(disks["vhdx"][: 128 * 1024], desk) == "image_format"


@pytest.mark.parametrize(
    "content",
    [
        b"<!doctype html><title>404</title>",
        b"",
        b"QFI\xfb",
        b"QFI\xfb\x00\x00\x00\x01".ljust(512, b"\0"),
        b"conectix".ljust(1024, b"\0"),
        b"PK\x03\x04".ljust(1024, b"\0"),
        b"\0" * 257 + b"ustar".ljust(1024, b"\0"),
    ],
)
def test_what_is_no_disk(content: bytes, desk: Desk) -> None:
    assert refused(content, desk) == "image_format"


def test_a_raw_disk_is_never_read_as_another_format(desk: Desk, disks: dict[str, bytes]) -> None:
    """A boot sector and, behind it, what an unwary prober would take for a qcow2."""
    content = disks["raw"][:MIB] + disks["qcow2"]
    outcome = desk.apply(desk.upload(content.ljust(8 * MIB, b"\0")))
    assert outcome.ok
    assert outcome.observed["found_format"] == "raw"


def test_qemu_img_is_nobody_and_alone(tmp_path: Path, disks: dict[str, bytes]) -> None:
    """Even handed a file with a parent, it cannot read what root alone may."""
    secret, child = tmp_path / "secret", tmp_path / "child"
    secret.write_bytes(disks["raw"])
    secret.chmod(0o600)
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(child))
    child.chmod(0o600)
    with pytest.raises(BadImage):
        confined.info(child, "qcow2")
    confined.hand_over(child)
    confined.convert(child, "qcow2", tmp_path / "made", most=64 * MIB, progress=lambda _: None)
    made = tmp_path / "made"
    assert made.stat().st_size < MIB, "the parent was read"
