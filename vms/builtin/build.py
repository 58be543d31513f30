"""Builds the built-in image `kvmweb-hello` from Debian packages.

`python3 -m vms.builtin.build OUTPUT.qcow2` needs no third-party Python, no mount, and the packages
of packages.txt. Run it as root or under fakeroot: the files' owners are those of the guest. Built
files appear whole or not at all; nothing is built when what it would be made of has not changed.
OUTPUT.json describes the image.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

from vms.builtin import debian, disk
from vms.builtin.debian import BuildError, run
from vms.builtin.elf import KernelModules, shared_libraries

HERE = Path(__file__).parent
GUEST = HERE / "guest"
NAME = "kvmweb-hello"
BOOT_MODULES = ("virtio_pci", "virtio_blk")
LATER_MODULES = {
    "network": ("virtio_net", "isofs"),
    "cdrom": ("ata_piix", "ahci", "virtio_scsi", "sr_mod"),
    "late": ("button", "evdev", "virtio_rng"),
}
DIRECTORIES = (
    *("dev", "proc", "sys", "run", "mnt", "tmp", "root", "home/guest"),
    *("var/lib/hello", "var/run", "var/log", "etc/dropbear"),
    *("bin", "sbin", "lib64", "lib/x86_64-linux-gnu", "usr/bin", "usr/sbin"),
)
PRIVATE = ("etc/shadow", "root")


def say(sentence: str) -> None:
    print(sentence, flush=True)


def stamp_of(packages: str) -> str:
    """Changes with the packages and with every file of the builder."""
    digest = hashlib.sha256(packages.encode())
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(HERE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def is_current(output: Path, description: Path, stamp: str) -> bool:
    """Whether `output` is there, whole, and made of the same things."""
    try:
        known = json.loads(description.read_text())
        return bool(known["stamp"] == stamp and known["size_bytes"] == output.stat().st_size)
    except (OSError, ValueError, KeyError):
        return False


def write_initramfs(tree: Path, modules: KernelModules, target: Path) -> list[str]:
    """Only what finds the disk; the rest is on it. Returns the modules it loads."""
    order = modules.in_order(BOOT_MODULES)
    entries = [disk.Entry(name) for name in ("bin", "dev", "modules", "proc", "root")]
    entries += [disk.Entry(f"modules/{name}.ko", modules.content(name)) for name in order]
    entries.append(disk.Entry("modules/order", "".join(f"{name}\n" for name in order).encode()))
    entries.append(disk.Entry("bin/busybox", _busybox(tree).read_bytes()))
    entries.append(disk.Entry("init", (GUEST / "initramfs/init").read_bytes()))
    target.write_bytes(disk.initramfs(entries))
    return order


def _busybox(tree: Path) -> Path:
    return next(path for path in (tree / "bin/busybox", tree / "usr/bin/busybox") if path.exists())


def write_root(tree: Path, modules: KernelModules, loaded: list[str], root: Path) -> None:
    """The system on the disk: our files, busybox, dropbear, hellod, modules."""
    shutil.copytree(GUEST / "root", root)
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    _install_busybox(tree, root)
    _install_dropbear(tree, root)
    _install_modules(modules, loaded, root / "lib/modules")
    run("gcc", "-static", "-Os", "-s", "-o", root / "usr/sbin/hellod", GUEST / "hellod.c")
    _set_modes_and_times(root)


def _install_busybox(tree: Path, root: Path) -> None:
    shutil.copy(_busybox(tree), root / "bin/busybox")
    for path in run(root / "bin/busybox", "--list-full").split():
        link = root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("/bin/busybox")


def _install_dropbear(tree: Path, root: Path) -> None:
    program = tree / "usr/sbin/dropbear"
    shutil.copy(program, root / "usr/sbin/dropbear")
    libraries = shared_libraries(program, tree)
    for name, path in libraries.items():
        where = "lib64" if name.startswith("ld-linux") else "lib/x86_64-linux-gnu"
        shutil.copy(path, root / where / name)


def _install_modules(modules: KernelModules, loaded: list[str], target: Path) -> None:
    target.mkdir(parents=True)
    present = list(loaded)
    for stage, wanted in LATER_MODULES.items():
        order = modules.in_order(wanted, present)
        # A CD-ROM's modules are loaded only where there is no seed on a disk.
        present += order if stage != "cdrom" else []
        (target / f"{stage}.order").write_text("".join(f"{name}\n" for name in order))
        for name in order:
            (target / f"{name}.ko").write_bytes(modules.content(name))


def _set_modes_and_times(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (int(disk.EPOCH),) * 2, follow_symlinks=False)
    for name in PRIVATE:
        (root / name).chmod(0o700 if (root / name).is_dir() else 0o600)
    (root / "tmp").chmod(0o1777)


def make(names: list[str], work: Path) -> tuple[Path, str]:
    """The finished image under `work` and its kernel's version."""
    say("Fetching the kernel and programs from Debian's archive")
    tree = debian.unpacked(names, work)
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    libraries = next(
        tree / top / "modules" for top in ("lib", "usr/lib") if (tree / top / "modules").exists()
    )
    modules = KernelModules(libraries / version)

    say(f"Putting together a small system with Linux {version}")
    boot = work / "boot"
    boot.mkdir()
    shutil.copy(kernel, boot / "vmlinuz")
    shutil.copy(GUEST / "syslinux.cfg", boot)
    loaded = write_initramfs(tree, modules, boot / "initrd")
    write_root(tree, modules, loaded, work / "root")

    say("Writing the disk image")
    disk.boot_partition(sorted(boot.iterdir()), work / "boot.img")
    disk.root_partition(work / "root", work / "root.img")
    disk.assemble(work / "boot.img", work / "root.img", work / "disk.raw")
    image = work / "disk.qcow2"
    # zstd is read at the speed of no compression; with zlib the guest boots 0.4 s later.
    as_zstd = ("-c", "-o", "compression_type=zstd")
    run("qemu-img", "convert", *as_zstd, "-O", "qcow2", work / "disk.raw", image)
    return image, version


def description_of(image: Path, version: str, stamp: str) -> dict[str, object]:
    """What the panel's catalogue says of the image."""
    info = json.loads(run("qemu-img", "info", "--output=json", image))
    return {
        "name": NAME,
        "sha256": hashlib.sha256(image.read_bytes()).hexdigest(),
        "size_bytes": image.stat().st_size,
        "virtual_size_bytes": info["virtual-size"],
        "format": "qcow2",
        "architecture": "x86_64",
        "firmware": "bios",
        "kernel": version,
        "default_user": "guest",
        "min_memory_mib": 96,
        "min_disk_gib": 1,
        "stamp": stamp,
    }


def build(output: Path) -> None:
    """Makes `output` and its description beside it, if they are not current."""
    description = output.with_suffix(".json")
    names = debian.package_names()
    stamp = stamp_of(debian.described(names))
    if is_current(output, description, stamp):
        say(f"The built-in image {output} is up to date")
        return
    started = time.monotonic()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=output.parent) as work:
        image, version = make(names, Path(work))
        facts = Path(work, "facts.json")
        facts.write_text(json.dumps(description_of(image, version, stamp), indent=2) + "\n")
        image.chmod(0o644)
        image.rename(output)
        facts.rename(description)
    size = output.stat().st_size / 1e6
    say(f"Built {output} ({size:.1f} MB) in {time.monotonic() - started:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="build-image", description="Build the built-in image.")
    parser.add_argument("output", type=Path, metavar="OUTPUT.qcow2")
    try:
        build(parser.parse_args().output.absolute())
    except BuildError as error:
        print(f"The built-in image was not built. {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
