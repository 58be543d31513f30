"""KVM hosts and their public addresses."""

from __future__ import annotations

import secrets
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self, TypeVar
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from kvmweb.core.access import User, is_operator
from kvmweb.core.choices import State
from kvmweb.core.ipv6 import SUBNET_PREFIX, new_local_prefix

M = TypeVar("M", bound=models.Model)
_LONGEST_BLOCK = 16
PORT_RANGE = [MinValueValidator(1), MaxValueValidator(65535)]


class OperatorsQuerySet(models.QuerySet[M]):
    """Rows that belong to the operators."""

    def visible_to(self, user: User) -> Self:
        return self.all() if is_operator(user) else self.none()

    def writable_by(self, user: User) -> Self:
        return self.visible_to(user)


class HostQuerySet(OperatorsQuerySet["Host"]):
    def usable(self) -> Self:
        """Hosts that may be given new networks and VMs."""
        return self.filter(maintenance=False)


def refuse_no_ports(value: object) -> None:
    """A validator: `value` must be a list of ports."""
    if not isinstance(value, list) or not all(
        isinstance(port, int) and 1 <= port <= 65535 for port in value
    ):
        raise ValidationError("Write a list of ports from 1 to 65535, such as [8080, 8443].")


def refuse_no_subnets(value: object) -> None:
    """A validator: `value` must be a list of IPv4 subnets that hosts can be reached by."""
    if not isinstance(value, list) or not all(map(_is_subnet, value)):
        raise ValidationError('Write a list of IPv4 subnets, such as ["198.51.100.128/28"].')


def _is_subnet(value: object) -> bool:
    try:
        subnet = IPv4Network(value if isinstance(value, str) else "")
    except ValueError:
        return False
    odd = subnet.is_multicast or subnet.is_loopback or subnet.is_link_local
    return not odd and not subnet.is_unspecified and 8 <= subnet.prefixlen <= 29


def refuse_no_prefixes(value: object) -> None:
    """A validator: `value` must be a list of IPv6 prefixes with room for networks."""
    if not isinstance(value, list) or not all(map(_is_prefix, value)):
        raise ValidationError('Write a list of IPv6 prefixes up to /64, such as ["2001:db8::/56"].')


def _is_prefix(value: object) -> bool:
    try:
        prefix = IPv6Network(value if isinstance(value, str) else "")
    except ValueError:
        return False
    odd = prefix.is_multicast or prefix.is_link_local or prefix.is_unspecified
    return not odd and 16 <= prefix.prefixlen <= SUBNET_PREFIX


def _is_block(value: object) -> bool:
    return _is_subnet(value) and IPv4Network(str(value)).prefixlen <= _LONGEST_BLOCK


def _overlaps(block: IPv4Network, subnet: str) -> bool:
    return bool(subnet) and block.overlaps(IPv4Network(subnet))


def refuse_no_block(value: object) -> None:
    """A validator: `value` must be an IPv4 subnet with room for networks."""
    if not _is_block(value):
        raise ValidationError("Write an IPv4 subnet up to /16, such as 100.64.0.0/10.")


def new_local_prefix6() -> str:
    """The private IPv6 prefix of a new host, which is nobody else's by chance alone."""
    return str(new_local_prefix())


def new_key() -> str:
    return secrets.token_hex(32)


class Host(models.Model):
    """A machine that runs guests. `key` seals the messages between it and the control plane.

    `facts` is what its monitor saw last, `*_seen_at` when each of its processes was heard last:
    observed, written by the control worker alone.
    """

    class Accelerator(models.TextChoices):
        AUTO = "auto", "What the host found by trying"
        KVM = "kvm", "KVM"
        TCG = "tcg", "Software emulation (TCG)"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(
        max_length=32,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "Use a-z, 0-9 and - only.")],
    )
    key = models.CharField(max_length=64, default=new_key, editable=False)
    maintenance = models.BooleanField(default=False, help_text="No new networks or VMs.")
    accelerator = models.CharField(
        max_length=4, choices=Accelerator.choices, default=Accelerator.AUTO
    )
    reserved_ports = models.JSONField(
        default=list,
        blank=True,
        validators=[refuse_no_ports],
        help_text="Ports no forward may take, besides ssh and the panel, such as [8080, 8443].",
    )
    repairs = models.BooleanField(
        default=True,
        editable=False,
        help_text="Put right what others change of networks; otherwise it is only told.",
    )
    routed_subnets = models.JSONField(
        default=list,
        blank=True,
        validators=[refuse_no_subnets],
        help_text='Public subnets that are routed to this host, such as ["198.51.100.128/28"]: '
        "routed networks may use parts of them.",
    )
    routed_prefixes6 = models.JSONField(
        "routed IPv6 prefixes",
        default=list,
        blank=True,
        validators=[refuse_no_prefixes],
        help_text='IPv6 prefixes that are routed to this host, such as ["2001:db8::/56"]: '
        "networks with routed IPv6 get a /64 of them.",
    )
    local_prefix6 = models.CharField(
        "private IPv6 prefix",
        max_length=43,
        default=new_local_prefix6,
        editable=False,
        help_text="Private IPv6 subnets of networks are taken from here.",
    )
    transit_block = models.CharField(
        max_length=18,
        default="100.64.0.0/10",
        validators=[refuse_no_block],
        help_text="By subnets of this the host knows networks that have a router of their own. "
        "Nobody else may use it here. Networks that are there keep theirs.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    facts = models.JSONField(default=dict, editable=False, blank=True)
    facts_at = models.DateTimeField(null=True, editable=False)
    monitor_seen_at = models.DateTimeField(null=True, editable=False)
    net_seen_at = models.DateTimeField(null=True, editable=False)
    vm_seen_at = models.DateTimeField(null=True, editable=False)

    objects = HostQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """What it knows networks with routers of their own by is nobody else's there."""
        if not _is_block(self.transit_block) or self.pk is None:
            return
        if Host.objects.filter(pk=self.pk, transit_block=self.transit_block).exists():
            return
        block = IPv4Network(self.transit_block)
        public = [each.address for each in self.public_addresses.all() if not each.is_ipv6]
        if found := next((each for each in public if IPv4Address(each) in block), None):
            words = f"{found}, a public address of the host, is in it."
            raise ValidationError({"transit_block": words})
        behind = self.networks.exclude(transit_subnet="").filter(present=True)
        if near := next((each for each in behind if _overlaps(block, each.ipv4_subnet)), None):
            words = f"Guests of network “{near}”, which has a router of its own, are in it."
            raise ValidationError({"transit_block": words})

    @property
    def findings(self) -> list[dict[str, str]]:
        """What it found in the way of networks last, the worst first."""
        found: list[dict[str, str]] = self.facts.get("findings", [])
        return found

    @property
    def is_silent(self) -> bool:
        """Whether the monitor has not been heard for longer than KVMWEB_HOST_SILENCE."""
        limit = timedelta(seconds=settings.KVMWEB_HOST_SILENCE)
        return self.monitor_seen_at is None or timezone.now() - self.monitor_seen_at > limit

    @property
    def state(self) -> State:
        return State.SILENT if self.is_silent else State.ACTIVE


class PublicAddress(models.Model):
    """An address of a host that the outside can reach.

    Forwards listen on it, networks go out by it.

    `first_port`–`last_port` is where free ports are picked from; it lies below the kernel's
    ephemeral range.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="public_addresses")
    address = models.GenericIPAddressField(unique=True)
    is_default = models.BooleanField(default=False)
    first_port = models.PositiveIntegerField(default=20000, validators=PORT_RANGE)
    last_port = models.PositiveIntegerField(default=29999, validators=PORT_RANGE)

    objects = OperatorsQuerySet.as_manager()

    class Meta:
        ordering = ["-is_default", "address"]
        verbose_name_plural = "public addresses"
        constraints = [
            models.UniqueConstraint(
                fields=["host"], condition=Q(is_default=True), name="one_default_address"
            ),
            models.CheckConstraint(
                condition=Q(first_port__lte=models.F("last_port")), name="port_range_in_order"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | ~Q(address__contains=":"),
                name="default_address_is_ipv4",
                violation_error_message="Only an IPv4 address can be the default one.",
            ),
        ]

    def __str__(self) -> str:
        return self.address

    def clean(self) -> None:
        """No guest has an address by which its host is to be reached: that would be hidden from
        the guest and its neighbours, behind a router of their own too."""
        kept = type(self).objects.filter(pk=self.pk, host_id=self.host_id, address=self.address)
        if self.host_id is None or not self.address or kept.exists():
            return
        if words := self._hidden_by():
            raise ValidationError({"address": f"{self.address} is in {words}."})

    def _hidden_by(self) -> str:
        try:
            address = ip_address(self.address)
        except ValueError:
            return ""  # said of the field itself
        if address in IPv4Network(self.host.transit_block):
            return f"{self.host.transit_block}, the transit block of the host"
        for network in self.host.networks.all():
            for subnet in filter(None, (network.ipv4_subnet, network.ipv6_subnet)):
                if address in ip_network(subnet):
                    return f"{subnet}, the subnet of network “{network}”"
        return ""

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address
