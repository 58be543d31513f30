"""libvirt's errors in our words, each with a code and what to do about it."""

from __future__ import annotations

import re

import libvirt

from kvmweb.core.errors import HostBusy, HostError

_BUSY = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_OPERATION_TIMEOUT,
    }
)
_START_FAILURES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"Cannot get interface MTU on|Unable to add bridge \S+ port|bridge .* does not exist",
        "bridge_missing",
        "The network of this VM is not there on the host.",
        "Repair the network, then start the VM again.",
    ),
    (
        r"(?i)cannot (?:set up guest|allocate) memory|out of memory",
        "not_enough_memory",
        "The host has not enough free memory for this VM.",
        "Stop another VM or give this one less memory.",
    ),
    (
        r"No such file or directory",
        "disk_missing",
        "A file of this VM is gone from the host.",
        "Restore it from a backup, or delete the VM and make it anew.",
    ),
    (
        r"(?i)could not access KVM|failed to initialize kvm|KVM.*(?:not available|not supported)",
        "kvm_unusable",
        "The VM is to run under KVM, which this host cannot do.",
        "Set the host's accelerator to “auto” or “tcg”.",
    ),
    (
        r"(?i)permission denied",
        "not_permitted",
        "QEMU may not read a file of this VM.",
        "Look at the owner of the files and at AppArmor or SELinux on the host.",
    ),
)


class LibvirtError(HostError):
    """libvirt refused; its own words are in the message and its error is the cause."""

    code = "libvirt"


class NameTaken(LibvirtError):
    code = "domain_name_taken"


class CannotStart(LibvirtError):
    code = "cannot_start"


def translated(error: libvirt.libvirtError) -> HostError:
    """Any error of libvirt."""
    code, text = error.get_error_code(), str(error)
    if _is_unreachable(error):
        return HostBusy(
            f"libvirt on this host cannot be reached: {text}",
            remedy="Start libvirtd on the host; the job goes on by itself.",
        )
    if code == libvirt.VIR_ERR_OPERATION_FAILED and "already exists with uuid" in text:
        return NameTaken(
            f"A domain that is not ours has this name: {text}",
            remedy="Rename or remove that domain on the host, or give the VM another name.",
        )
    return LibvirtError(f"libvirt refused: {text}", remedy="See libvirt's log on the host.")


def start_error(error: libvirt.libvirtError) -> HostError:
    """Why a domain did not start."""
    text = str(error)
    for pattern, code, message, remedy in _START_FAILURES:
        if re.search(pattern, text):
            return CannotStart(f"{message} ({text})", code=code, remedy=remedy)
    if _is_unreachable(error):
        return translated(error)
    return CannotStart(
        f"The VM did not start: {text.rstrip('.')}.",
        remedy="An operator finds more in its QEMU log.",
    )


def _is_unreachable(error: libvirt.libvirtError) -> bool:
    code = error.get_error_code()
    return code in _BUSY or (code == libvirt.VIR_ERR_SYSTEM_ERROR and "onnect" in str(error))
