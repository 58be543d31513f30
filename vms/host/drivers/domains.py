"""libvirt, behind one typed adapter: the only place that calls it for the VM worker.

libvirt has no time-outs of its own against a libvirtd that hangs, so each call runs in a thread
and is given up at its deadline; what it left behind is dropped and the next call connects anew. A
connection is opened when first needed and never carried across a fork. Closing one asks libvirtd
too, and Python closes what nobody holds any more: so a connection is only ever let go in a thread
of its own.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import libvirt
from lxml import etree

from kvmweb.core.errors import HostBusy, HostError
from vms.host import domain_xml
from vms.host.drivers import qmp
from vms.host.drivers.failures import start_error, translated
from vms.host.state import DomainState, PowerState

T = TypeVar("T")

CALL_SECONDS = 20.0
START_SECONDS = 120.0
MEMORY_SECONDS = 1800.0
"""For what writes or reads all the memory of a guest."""
_AGENT_SECONDS = 10
_STATES: dict[int, PowerState] = {
    libvirt.VIR_DOMAIN_NOSTATE: "running",
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "stopping",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
}
_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN})
_UNDEFINE_FLAGS = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


def quiet() -> None:
    """Keep libvirt from printing each error to stderr; they are raised as well."""
    libvirt.registerErrorHandler(lambda *_: None, None)


def power_state(number: int) -> PowerState:
    """The state of virDomainState `number`."""
    return _STATES.get(number, "off")


class Domains:
    """The domains of one libvirtd. Every method raises HostBusy when its deadline (s) passes."""

    def __init__(self, uri: str, *, call_seconds: float = CALL_SECONDS) -> None:
        self._uri = uri
        self._call_seconds = call_seconds
        self._held: list[Any] = []
        weakref.finalize(self, _let_go, self._held)
        self._owner = 0
        quiet()

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        _let_go(self._held)

    def find(self, subject: str) -> DomainState | None:
        """The domain with this UUID; None when there is none."""
        return self._with_domain(subject, _read)

    def define(self, xml: str) -> None:
        """Define or redefine, checked against libvirt's own schema."""
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        self._call(lambda connection: connection.defineXMLFlags(xml, flags))

    def start(self, subject: str, *, seconds: float = START_SECONDS) -> None:
        """Start, from the memory on disk where it was saved; already running is success."""

        def create(domain: Any) -> None:
            try:
                domain.create()
            except libvirt.libvirtError as error:
                if not domain.isActive():
                    raise start_error(error) from error

        self._existing(subject, create, seconds)

    def resume(self, subject: str) -> None:
        self._existing(subject, lambda domain: domain.resume())

    def pause(self, subject: str) -> None:
        self._existing(subject, lambda domain: domain.suspend())

    def save(self, subject: str) -> None:
        """Write its memory to disk and end it; when restored it runs. Already off is success."""
        running = libvirt.VIR_DOMAIN_SAVE_RUNNING
        self._if_active(subject, lambda domain: domain.managedSave(running), MEMORY_SECONDS)

    def discard_saved(self, subject: str) -> None:
        """Drop the memory that lies on disk; none there is success."""

        def drop(domain: Any) -> None:
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()

        self._existing(subject, drop)

    def press_power_button(self, subject: str) -> None:
        """Ask the guest by ACPI to shut down; it may take its time or not listen at all."""
        self._if_active(
            subject, lambda domain: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        )

    def destroy(self, subject: str) -> None:
        """Pull the plug; already off or gone is success."""
        self._if_active(subject, lambda domain: domain.destroy())

    def grow_disk(self, subject: str, file: str, size: int) -> None:
        """Enlarge a disk of a running guest to `size` bytes."""
        flag = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._existing(subject, lambda domain: domain.blockResize(file, size, flag))

    def attach(self, subject: str, xml: str) -> None:
        """Plug a device into a running guest, until its next start."""
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._existing(subject, lambda domain: domain.attachDeviceFlags(xml, live))

    def detach(self, subject: str, xml: str) -> None:
        """Ask a running guest to let go of a device."""
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._existing(subject, lambda domain: domain.detachDeviceFlags(xml, live))

    def change_medium(self, subject: str, xml: str) -> None:
        """Put something else, or nothing, into the drive of a running guest."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE
        self._existing(subject, lambda domain: domain.updateDeviceFlags(xml, flags))

    def set_memory(self, subject: str, memory_mib: int) -> None:
        """Ask a running guest to make do with so much."""
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._existing(subject, lambda domain: domain.setMemoryFlags(memory_mib * 1024, live))

    def set_vcpus(self, subject: str, vcpus: int) -> None:
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._existing(subject, lambda domain: domain.setVcpusFlags(vcpus, live))

    def snapshot_disks(self, subject: str, files: Sequence[str], name: str) -> None:
        """Take an internal snapshot of all these disks of a running guest at one moment.

        libvirt offers that only together with a memory that lies in the first disk.
        """
        self._existing(subject, lambda domain: qmp.snapshot_disks(domain, files, name))

    def drop_disk_snapshot(self, subject: str, file: str, name: str) -> None:
        """Delete an internal snapshot of a running guest's disk."""
        self._existing(
            subject, lambda domain: qmp.drop_snapshot(domain, file, name), MEMORY_SECONDS
        )

    def save_memory(self, subject: str, file: str) -> None:
        """Write the memory of a guest that is paused, and stays so, to a file."""

        def save(domain: Any) -> None:
            xml = memory_alone(file, domain_xml.disk_targets(domain.XMLDesc()))
            domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)

        self._existing(subject, save, MEMORY_SECONDS)

    def restore_memory(self, subject: str, file: str, *, boots: int) -> None:
        """Let a guest that is off go on from such a file.

        It gets back the name it had, because libvirt restores under no other.
        """

        def restore(connection: Any) -> None:
            xml = connection.saveImageGetXMLDesc(file, libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
            domain, name = connection.lookupByUUIDString(subject), domain_xml.name_of(xml)
            if domain.name() != name:
                domain.rename(name)
            running = libvirt.VIR_DOMAIN_SAVE_RUNNING
            try:
                connection.restoreFlags(file, domain_xml.with_boots(xml, boots), running)
            except libvirt.libvirtError as error:
                raise start_error(error) from error

        self._call(restore, MEMORY_SECONDS)

    def freeze(self, subject: str) -> None:
        """Have the guest agent flush and freeze the guest's file systems."""

        def freeze(domain: Any) -> None:
            domain.agentSetResponseTimeout(_AGENT_SECONDS, 0)
            domain.fsFreeze()

        self._existing(subject, freeze)

    def thaw(self, subject: str) -> None:
        """Let the guest write again; one that is off, or not frozen, is success."""
        self._if_active(subject, lambda domain: domain.fsThaw())

    def rename(self, subject: str, name: str) -> None:
        """Give a domain that is off another name; having it already is success."""

        def rename(domain: Any) -> None:
            if domain.name() != name:
                domain.rename(name)

        self._existing(subject, rename)

    def undefine(self, subject: str) -> None:
        """Forget it with its saved state and firmware variables; already gone is success."""
        self._with_domain(subject, lambda domain: domain.undefineFlags(_UNDEFINE_FLAGS))

    def state(self, subject: str) -> PowerState | None:
        return self._with_domain(subject, lambda domain: state_of(domain)[0])

    def versions(self) -> tuple[int, int]:
        """libvirt's and QEMU's, each 1000000 * major + 1000 * minor + release."""
        return self._call(lambda connection: (connection.getLibVersion(), connection.getVersion()))

    def ask(self, question: Callable[[Any], T]) -> T:
        """Put any question to the connection, under the usual deadline."""
        return self._call(question)

    def _if_active(
        self, subject: str, action: Callable[[Any], object], seconds: float | None = None
    ) -> None:
        def act(domain: Any) -> None:
            try:
                action(domain)
            except libvirt.libvirtError:
                if domain.isActive():
                    raise

        self._with_domain(subject, act, seconds)

    def _existing(
        self, subject: str, action: Callable[[Any], object], seconds: float | None = None
    ) -> None:
        self._call(lambda connection: action(connection.lookupByUUIDString(subject)), seconds)

    def _with_domain(
        self, subject: str, question: Callable[[Any], T], seconds: float | None = None
    ) -> T | None:
        def ask(connection: Any) -> T | None:
            try:
                return question(connection.lookupByUUIDString(subject))
            except libvirt.libvirtError as error:
                if error.get_error_code() in _GONE:
                    return None
                raise

        return self._call(ask, seconds)

    def _call(self, question: Callable[[Any], T], seconds: float | None = None) -> T:
        seconds = self._call_seconds if seconds is None else seconds
        try:
            return self._within(seconds, lambda: question(self._connected()))
        except libvirt.libvirtError as error:
            raise self._forgotten_if_lost(translated(error)) from error

    def _connected(self) -> Any:
        if self._held and (self._owner != os.getpid() or not self._held[0].isAlive()):
            _let_go(self._held)
        if not self._held:
            self._held.append(libvirt.open(self._uri))
            self._owner = os.getpid()
        return self._held[0]

    def _forgotten_if_lost(self, error: HostError) -> HostError:
        if isinstance(error, HostBusy):
            _let_go(self._held)
        return error

    def _within(self, seconds: float, work: Callable[[], T]) -> T:
        answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put((work(), None))
            except BaseException as error:
                answers.put((None, error))

        threading.Thread(target=run, daemon=True, name="libvirt-call").start()
        try:
            value, error = answers.get(timeout=seconds)
        except queue.Empty:
            _let_go(self._held)
            raise HostBusy(
                f"libvirt on this host did not answer within {seconds:g} s.",
                remedy="It is tried again; if it stays so, restart libvirtd on the host.",
            ) from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]


def memory_alone(file: str, disks: Sequence[str]) -> str:
    """What asks libvirt for a snapshot of the memory and of none of these disks."""
    root = etree.Element("domainsnapshot")
    etree.SubElement(root, "memory", snapshot="external", file=file)
    listed = etree.SubElement(root, "disks")
    for disk in disks:
        etree.SubElement(listed, "disk", name=disk, snapshot="no")
    return etree.tostring(root, encoding="unicode")


def _let_go(held: list[Any]) -> None:
    """Empty the list; what was in it is closed by a thread that holds the last reference."""
    left, held[:] = list(held), []
    if left:
        threading.Thread(target=left.clear, daemon=True, name="libvirt-close").start()


def _read(domain: Any) -> DomainState:
    state, reason = state_of(domain)
    active = bool(domain.isActive())
    persistent = bool(domain.isPersistent())
    inactive = libvirt.VIR_DOMAIN_XML_INACTIVE
    secure = libvirt.VIR_DOMAIN_XML_SECURE
    return DomainState(
        state=state,
        reason=reason,
        xml=domain.XMLDesc(inactive | secure) if persistent else "",
        live_xml=domain.XMLDesc(secure) if active else "",
    )


def state_of(domain: Any) -> tuple[PowerState, str]:
    """A domain's state, and why where that tells more."""
    number, reason = domain.state()
    if power_state(number) == "off" and domain.hasManagedSaveImage():
        return "saved", ""
    return power_state(number), reason_text(number, reason)


def reason_text(state: int, reason: int) -> str:
    """Why a domain is in its state, where the reason tells more than the state does."""
    return _REASONS.get((state, reason), "")


_REASONS = {
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): "A disk could not be written",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER): "Paused by hand",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): "The guest crashed",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN): "The guest shut down",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED): "Forced off",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): "The guest crashed",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED): "QEMU failed",
    (
        libvirt.VIR_DOMAIN_CRASHED,
        libvirt.VIR_DOMAIN_CRASHED_PANICKED,
    ): "The guest's kernel panicked",
}
