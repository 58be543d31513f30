"""A bootable disk from directories, without root, mounts or loop devices.

MBR, a FAT partition with SYSLINUX, kernel and initramfs, and an ext4 partition with the system. FAT
because SYSLINUX is put on it by mtools, while EXTLINUX needs a mounted file system.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vms.builtin.debian import BuildError, run

SECTOR = 512
MIB = 1 << 20
BOOT_AT = 1 * MIB
ROOT_LABEL = "hello-root"
ROOT_UUID = "6b766d77-6562-4865-8c6c-6f0000000001"
ROOT_SIZE = 48 * MIB
SERIAL = "6b766d77"
EPOCH = "1700000000"
FAT16_LBA, LINUX = 0x0E, 0x83
MBR_CODE = ("/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin")


@dataclass(frozen=True)
class Entry:
    """One file of an initramfs; no content makes it a directory."""

    path: str
    content: bytes | None = None


def initramfs(entries: Iterable[Entry]) -> bytes:
    """A cpio archive in the "newc" format (Linux: driver-api/early-userspace/buffer-format)."""
    out = bytearray()
    for inode, entry in enumerate([*entries, Entry("TRAILER!!!", b"")], start=1):
        mode = 0o40755 if entry.content is None else 0o100755
        content = entry.content or b""
        name = entry.path.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)


def boot_partition(files: list[Path], image: Path) -> None:
    """A FAT16 file system with SYSLINUX and `files` in its root directory."""
    size = sum(file.stat().st_size for file in files) + 2 * MIB
    size += -size % MIB
    sectors = str(size // SECTOR)
    env = {"SOURCE_DATE_EPOCH": EPOCH, "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}
    hidden = str(BOOT_AT // SECTOR)
    image.write_bytes(bytes(size))
    # Large clusters: SYSLINUX reads the kernel in half the time.
    geometry = ("-T", sectors, "-h", "64", "-s", "32", "-c", "32", "-H", hidden)
    run("mformat", "-i", image, *geometry, "-N", SERIAL, "-v", "HELLO", "::", env=env)
    run("mcopy", "-i", image, *files, "::/", env=env)
    run("syslinux", "--install", image, env=env)


def root_partition(tree: Path, image: Path) -> None:
    """An ext4 file system with the content of `tree`."""
    image.unlink(missing_ok=True)
    # 4096-byte blocks are asked for: mke2fs would take 1024 on so small a file system.
    layout = ("-t", "ext4", "-b", "4096", "-m", "0", "-J", "size=4", "-N", "4096")
    names = ("-L", ROOT_LABEL, "-U", ROOT_UUID, "-E", f"hash_seed={ROOT_UUID},root_owner=0:0")
    env = {"E2FSPROGS_FAKE_TIME": EPOCH}
    run("mke2fs", "-q", *layout, *names, "-d", tree, image, f"{ROOT_SIZE // 1024}k", env=env)
    _forget_change_times(tree, image)


def _forget_change_times(tree: Path, image: Path) -> None:
    """mke2fs copies the files' ctime, the only thing in the image that differs between builds."""
    fields = {"ctime": f"@{EPOCH}", "ctime_extra": "0"}
    script = image.with_suffix(".debugfs")
    script.write_text(
        f"set_current_time @{EPOCH}\n"
        + "".join(
            f'set_inode_field "/{path.relative_to(tree)}" {field} {value}\n'
            for path in sorted(tree.rglob("*"))
            for field, value in fields.items()
        )
    )
    run("debugfs", "-w", "-f", script, image)


def assemble(boot: Path, root: Path, image: Path) -> None:
    """The raw disk: MBR, then both partitions."""
    root_at = BOOT_AT + boot.stat().st_size
    with image.open("wb") as disk:
        disk.write(_mbr((BOOT_AT, boot.stat().st_size), (root_at, ROOT_SIZE)))
        for start, part in ((BOOT_AT, boot), (root_at, root)):
            disk.seek(start)
            with part.open("rb") as content:
                shutil.copyfileobj(content, disk, MIB)


def _mbr(boot: tuple[int, int], root: tuple[int, int]) -> bytes:
    code = next((Path(path) for path in MBR_CODE if Path(path).exists()), None)
    if code is None:
        raise BuildError("The boot sector mbr.bin is missing; install syslinux-common.")
    table = _partition(0x80, FAT16_LBA, *boot) + _partition(0, LINUX, *root) + bytes(32)
    return (
        code.read_bytes()[:440].ljust(440, b"\0")
        + bytes.fromhex(SERIAL)
        + b"\0\0"
        + table
        + b"\x55\xaa"
    )


def _partition(active: int, kind: int, start: int, size: int) -> bytes:
    no_chs = b"\xfe\xff\xff"
    return struct.pack("<B3sB3sII", active, no_chs, kind, no_chs, start // SECTOR, size // SECTOR)
