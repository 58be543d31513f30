"""VMs, their disks and NICs."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from kvmweb.core.access import User
from kvmweb.core.choices import State
from kvmweb.hosts.models import Host
from kvmweb.jobs.models import Status, heavy
from kvmweb.jobs.subjects import Subject
from kvmweb.projects.models import Project, seen_by, written_by
from networks.models import Forward, HostName, Network, Reservation
from vms.models.flavours import Flavour
from vms.models.images import Image


class VmQuerySet(models.QuerySet["Vm"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user))

    def kept(self) -> Self:
        """Without those in the recycle bin."""
        return self.filter(goes_at=None)

    def in_bin(self) -> Self:
        """What can be taken back."""
        return self.filter(goes_at__isnull=False, present=True)

    def for_display(self) -> Self:
        """With addresses and forwards, in a constant number of queries.

        What many rows share (host, image, network) is fetched once, not joined to each of them.
        """
        networks = Network.objects.select_related("host", "job", "attachment").defer(*heavy("job"))
        return (
            self.select_related("job")
            .defer(*heavy("job"))
            .prefetch_related(
                "host",
                "project",
                "image",
                "flavour",
                "iso",
                "rescue",
                "disks",
                models.Prefetch("nics", Nic.objects.present().select_related("reservation")),
                models.Prefetch("nics__reservation__network", networks),
                models.Prefetch(
                    "nics__reservation__forwards",
                    Forward.objects.filter(present=True).prefetch_related("public_address"),
                    to_attr="open_forwards",
                ),
                models.Prefetch(
                    "nics__reservation__host_names",
                    HostName.objects.filter(present=True).prefetch_related("public_address"),
                    to_attr="open_names",
                ),
            )
        )


class Vm(Subject):
    """A virtual machine. `power` is what people want; `power_state` what its host saw last."""

    kind = "vm"

    class Power(models.TextChoices):
        ON = "on", "On"
        OFF = "off", "Off"
        PAUSED = "paused", "Paused"
        SAVED = "saved", "Saved to disk"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="vms")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="vms")
    name = models.CharField(max_length=63)
    image = models.ForeignKey(Image, on_delete=models.PROTECT, related_name="vms")
    flavour = models.ForeignKey(
        Flavour, null=True, blank=True, on_delete=models.SET_NULL, related_name="vms"
    )
    vcpus = models.PositiveSmallIntegerField(
        "vCPUs", default=1, validators=[MinValueValidator(1), MaxValueValidator(64)]
    )
    memory_mib = models.PositiveIntegerField(
        "memory (MiB)", default=512, validators=[MinValueValidator(64)]
    )
    power = models.CharField(max_length=6, choices=Power.choices, default=Power.ON)
    force = models.BooleanField(default=False, editable=False)
    boots = models.PositiveIntegerField(
        default=0, editable=False, help_text="How often a fresh start was asked for."
    )
    boots_done = models.PositiveIntegerField(default=0, editable=False)
    autostart = models.BooleanField(
        default=True, help_text="Whether it comes back when its host was off."
    )
    ssh_keys = models.JSONField(default=list, blank=True)
    user_data = models.TextField(blank=True)
    login_user = models.CharField(
        max_length=32, blank=True, help_text="The account that the image's own user is called."
    )
    password_hash = models.CharField(max_length=140, blank=True, editable=False)
    iso = models.ForeignKey(
        Image, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    has_drive = models.BooleanField(default=False, editable=False)
    boot_order = models.JSONField(default=list, blank=True, editable=False)
    rescue = models.ForeignKey(
        Image, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    rescue_disk = models.UUIDField(null=True, editable=False)
    power_state = models.CharField(max_length=10, blank=True, editable=False)
    power_state_at = models.DateTimeField(null=True, editable=False)
    power_reason = models.CharField(max_length=200, blank=True, editable=False)
    restart_needed = models.BooleanField(default=False, editable=False)
    goes_at = models.DateTimeField(null=True, editable=False, db_index=True)
    at_snapshot = models.ForeignKey(
        "vms.Snapshot", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    back_to = models.ForeignKey(
        "vms.Snapshot", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    back_with_memory = models.BooleanField(default=False, editable=False)
    backs = models.PositiveIntegerField(
        default=0, editable=False, help_text="How often going back to a snapshot was asked for."
    )
    backs_done = models.PositiveIntegerField(default=0, editable=False)
    foreign_snapshots = models.JSONField(default=list, editable=False, blank=True)
    disk_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    memory_bytes = models.PositiveBigIntegerField(default=0, editable=False)

    objects = VmQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = "VM"
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], condition=Q(present=True), name="vm_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def domain(self) -> str:
        """Its libvirt name: readable, and unique on the host whatever others call theirs."""
        return f"{self.name}-{self.uuid.hex[:8]}"

    @property
    def state(self) -> State:
        transition = self.transition
        if transition is State.ATTENTION:
            return transition
        if self.host.is_silent:
            return State.SILENT
        if transition is not None:
            return self._changing_to(transition)
        if self.goes_at is not None:
            return State.BINNED
        return _POWER_STATES.get(self.power_state, State.WAITING)

    def _changing_to(self, transition: State) -> State:
        if transition is not State.CHANGING or self.job is None:
            return transition
        if self.boots > self.boots_done and self.power == Vm.Power.ON:
            return State.RESTARTING
        return _CHANGES.get((self.power, self.power_state), transition)

    @property
    def login(self) -> str:
        """Whom its keys and password open."""
        return self.login_user or self.image.default_user or "root"

    @property
    def bootable(self) -> dict[str, str]:
        """What it could start from, by the name in `boot_order`, in words."""
        disks = {
            str(disk.uuid): f"disk {number} ({disk.size_gib} GiB)"
            for number, disk in enumerate(self.disks.all(), start=1)
        }
        nics = {
            str(nic.uuid): f"network {nic.reservation.network.name}"
            for nic in self.nics.all()
            if nic.reservation.present
        }
        return {**disks, "cdrom": "CD drive", **nics}

    @property
    def is_busy(self) -> bool:
        return self.job is not None and self.job.status in (Status.QUEUED, Status.RUNNING)

    @property
    def reservations(self) -> list[Reservation]:
        return [nic.reservation for nic in self.nics.all()]

    @property
    def open_forwards(self) -> list[Forward]:
        """The forwards that lead to it, of a row fetched for display."""
        return [
            forward
            for reservation in self.reservations
            for forward in reservation.open_forwards  # type: ignore[attr-defined]
        ]

    @property
    def open_names(self) -> list[HostName]:
        """The host names that lead to it, of a row fetched for display."""
        found: list[HostName] = []
        for reservation in self.reservations:
            for name in reservation.open_names:  # type: ignore[attr-defined]
                name.network = reservation.network  # fetched with the reservation
                found.append(name)
        return found

    @property
    def served_names(self) -> list[HostName]:
        """Those of them that visitors get an answer under, of a row fetched for display."""
        return [name for name in self.open_names if not name.paused]

    @property
    def address(self) -> str:
        """The address of the first NIC that has one from us; empty while there is none."""
        return next((r.address for r in self.reservations if r.address), "")


_POWER_STATES = {
    "running": State.RUNNING,
    "off": State.OFF,
    "paused": State.PAUSED,
    "crashed": State.CRASHED,
    "stopping": State.STOPPING,
    "saved": State.SAVED,
}
_CHANGES: dict[tuple[str, str], State] = {
    (Vm.Power.OFF, "running"): State.STOPPING,
    (Vm.Power.OFF, "paused"): State.STOPPING,
    (Vm.Power.ON, "off"): State.STARTING,
    (Vm.Power.ON, "saved"): State.STARTING,
    (Vm.Power.SAVED, "running"): State.SAVING,
    (Vm.Power.SAVED, "paused"): State.SAVING,
}


class Disk(models.Model):
    """A disk of a VM; the first is the overlay of its image."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    vm = models.ForeignKey(Vm, on_delete=models.CASCADE, related_name="disks")
    image = models.ForeignKey(
        Image, null=True, blank=True, on_delete=models.PROTECT, related_name="disks"
    )
    size_gib = models.PositiveIntegerField("size (GiB)", validators=[MinValueValidator(1)])
    copied_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="copies"
    )

    class Meta:
        ordering = ["vm", "pk"]

    def __str__(self) -> str:
        return f"{self.size_gib} GiB of {self.vm}"


class NicQuerySet(models.QuerySet["Nic"]):
    def present(self) -> Self:
        """Without those whose address is being given back."""
        return self.filter(reservation__present=True)


class Nic(models.Model):
    """A NIC of a VM: one reservation, used by nobody else."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    vm = models.ForeignKey(Vm, on_delete=models.CASCADE, related_name="nics")
    reservation = models.OneToOneField(Reservation, on_delete=models.CASCADE, related_name="nic")

    objects = NicQuerySet.as_manager()

    class Meta:
        ordering = ["vm", "pk"]
        verbose_name = "NIC"

    def __str__(self) -> str:
        return f"{self.vm} on {self.reservation.network}"
