"""What Prometheus collects: the newest figures and the counters, as far as a user may see them.

Everything is read when it is asked for, from rows and files, in a number of queries that does not
grow; no process keeps counters of its own, so it does not matter which one answers. Names follow
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from kvmweb.core.access import is_operator
from kvmweb.hosts.models import Host
from kvmweb.jobs.models import Job
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import HOST, VM, Series
from kvmweb.metrics.window import latest
from networks.models import Forward, Network
from vms.models import Vm

_VM = {
    "cpu": ("kvmweb_vm_cpu_cores", "Processors it used, on average."),
    "memory": ("kvmweb_vm_memory_bytes", "Memory it was given."),
    "memory_used": ("kvmweb_vm_memory_used_bytes", "Memory used inside, where the guest says so."),
    "memory_host": ("kvmweb_vm_memory_host_bytes", "Memory of the host it takes."),
    "disk_read": ("kvmweb_vm_disk_read_bytes_per_second", "Read from its disks."),
    "disk_written": ("kvmweb_vm_disk_written_bytes_per_second", "Written to its disks."),
    "disk_reads": ("kvmweb_vm_disk_reads_per_second", "Requests to read."),
    "disk_writes": ("kvmweb_vm_disk_writes_per_second", "Requests to write."),
    "received": ("kvmweb_vm_received_bytes_per_second", "Received by its NICs."),
    "sent": ("kvmweb_vm_sent_bytes_per_second", "Sent by its NICs."),
    "packets_received": ("kvmweb_vm_received_packets_per_second", "Received by its NICs."),
    "packets_sent": ("kvmweb_vm_sent_packets_per_second", "Sent by its NICs."),
    "packets_dropped": ("kvmweb_vm_dropped_packets_per_second", "Dropped at its NICs."),
}
_HOST = {
    "cpu": ("kvmweb_host_cpu_cores", "Processors in use, on average."),
    "memory_used": ("kvmweb_host_memory_used_bytes", "Memory that cannot be given to others."),
    "guests": ("kvmweb_host_guests", "Guests that run."),
}
_CARRIED = (
    ("bytes_in", "received_bytes", "Towards guests."),
    ("bytes_out", "sent_bytes", "From guests."),
    ("packets_in", "received_packets", "Towards guests."),
    ("packets_out", "sent_packets", "From guests."),
)
_CONNECTIONS = (("connections", "connections", "Let through to the guest."),)


class Collector:
    """What `user` may see, by `prometheus_client.generate_latest`."""

    def __init__(self, user: User, rings: Rings) -> None:
        self._user = user
        self._rings = rings
        self._now = timezone.now().timestamp()

    def collect(self) -> Iterator[Metric]:
        yield from self._vms()
        yield from _counters("network", self._networks(), _CARRIED)
        yield from _counters("forward", self._forwards(), (*_CARRIED, *_CONNECTIONS))
        if is_operator(self._user):
            yield from self._hosts()
            yield from _jobs(self._user)

    def _vms(self) -> Iterator[Metric]:
        rows = Vm.objects.visible_to(self._user).kept().filter(present=True)
        vms = [
            ((str(vm.uuid), vm.name, vm.project.name), vm)
            for vm in rows.select_related("project").distinct()
        ]
        labels = ("vm", "name", "project")
        running = GaugeMetricFamily("kvmweb_vm_running", "1 while it runs.", labels=labels)
        for values, vm in vms:
            running.add_metric(values, float(vm.power_state == "running"))
        yield running
        yield from self._gauges(VM, _VM, labels, [(key, vm.uuid) for key, vm in vms])

    def _networks(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        rows = Network.objects.visible_to(self._user).filter(present=True, usage__isnull=False)
        for row in rows.select_related("project", "usage").distinct():
            yield (str(row.uuid), row.name, row.project.name), row.usage

    def _forwards(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        rows = Forward.objects.visible_to(self._user).filter(present=True, usage__isnull=False)
        joined = ("network__project", "public_address", "usage")
        for row in rows.select_related(*joined).distinct():
            yield (str(row.uuid), row.public_endpoint, row.network.project.name), row.usage

    def _hosts(self) -> Iterator[Metric]:
        hosts = list(Host.objects.visible_to(self._user))
        up = GaugeMetricFamily("kvmweb_host_up", "1 while it is heard.", labels=["host"])
        for host in hosts:
            up.add_metric([host.name], float(not host.is_silent))
        yield up
        yield from self._gauges(HOST, _HOST, ("host",), [((one.name,), one.uuid) for one in hosts])

    def _gauges(
        self,
        series: Series,
        named: dict[str, tuple[str, str]],
        labels: tuple[str, ...],
        things: Iterable[tuple[tuple[str, ...], Any]],
    ) -> Iterator[Metric]:
        """The newest figures of each; those that are older than two minutes are left out."""
        families = {
            field: GaugeMetricFamily(name, about, labels=labels)
            for field, (name, about) in named.items()
        }
        for key, uuid in things:
            values = latest(self._rings, series, uuid, now=self._now)
            for field, value in zip(series.names, values or (), strict=False):
                if value is not None:
                    families[field].add_metric(key, value)
        yield from families.values()


def _counters(
    kind: str,
    rows: Iterable[tuple[tuple[str, ...], Any]],
    figures: Iterable[tuple[str, str, str]],
) -> Iterator[Metric]:
    labels = (kind, "name" if kind == "network" else "public", "project")
    families = {
        field: CounterMetricFamily(f"kvmweb_{kind}_{name}", about, labels=labels)
        for field, name, about in figures
    }
    for key, usage in rows:
        for field, family in families.items():
            family.add_metric(key, getattr(usage, field))
    yield from families.values()


def _jobs(user: User) -> Iterator[Metric]:
    family = GaugeMetricFamily("kvmweb_jobs", "Jobs that are kept, by state.", labels=["status"])
    counts = Job.objects.visible_to(user).order_by().values_list("status").annotate(Count("pk"))
    for status, count in counts:
        family.add_metric([status], count)
    yield family
