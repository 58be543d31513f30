"""REST: what forwards and networks have carried."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from kvmweb.api.fields import Shown
from networks.models import ForwardUsage, HostNameUsage, NetworkUsage


class _UsageShown(Shown):
    packets_in = serializers.IntegerField(help_text="To the guest.")
    bytes_in = serializers.IntegerField()
    packets_out = serializers.IntegerField(help_text="From the guest.")
    bytes_out = serializers.IntegerField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="Within some seconds.")


class ForwardUsageShown(_UsageShown):
    connections = serializers.IntegerField(help_text="Let through to the guest since it was made.")

    def to_representation(self, instance: Any) -> Any:
        return super().to_representation(ForwardUsage.of(instance))


class HostNameUsageShown(Shown):
    connections = serializers.IntegerField(help_text="Requests on port 80, connections on 443.")
    bytes_in = serializers.IntegerField(help_text="To the guest.")
    bytes_out = serializers.IntegerField(help_text="From the guest.")
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="Within some seconds.")

    def to_representation(self, instance: Any) -> Any:
        return super().to_representation(HostNameUsage.of(instance))


class NetworkUsageShown(_UsageShown):
    """What guests of the network send to each other is not counted."""

    def to_representation(self, instance: Any) -> Any:
        return super().to_representation(NetworkUsage.of(instance))
