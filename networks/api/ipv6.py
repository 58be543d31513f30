"""REST: IPv6 of networks."""

from __future__ import annotations

from rest_framework import serializers

from kvmweb.api.fields import Body, Shown
from networks.models import Ipv6


class Ipv6Shown(Shown):
    """What a network shows of its IPv6."""

    ipv6 = serializers.ChoiceField(Ipv6.choices)
    ipv6_subnet = serializers.CharField(help_text="A /64; empty without IPv6.")
    gateway6 = serializers.CharField(help_text="The network's own IPv6 address; may be empty.")
    source_address6 = serializers.CharField(
        source="source_address6.address",
        allow_null=True,
        help_text="The public IPv6 address guests are seen with outside; null when it is the "
        "host's own or their own.",
    )


class Ipv6Body(Body):
    ipv6 = serializers.ChoiceField(Ipv6.choices)
    ipv6_subnet = serializers.CharField(
        default="", allow_blank=True, help_text="A /64; kept or picked when absent."
    )
    source_address6 = serializers.CharField(
        default=None,
        allow_null=True,
        allow_blank=True,
        help_text="A public IPv6 address of the host; its first one when absent, its own "
        "when empty.",
    )
    confirm = serializers.BooleanField(
        default=False, help_text="Go on though running VMs lose open IPv6 connections."
    )
