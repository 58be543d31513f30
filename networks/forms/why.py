"""What a question "why?" about a guest may name."""

from __future__ import annotations

from typing import Any

from django import forms

_WAYS = [
    ("out", "From the guest to the outside"),
    ("in", "From outside to the guest"),
]
_PROTOCOLS = [("tcp", "TCP"), ("udp", "UDP"), ("icmp", "Ping")]
_VERSIONS = [("4", "IPv4"), ("6", "IPv6")]


class WayForm(forms.Form):
    """Which way, and to or from where; everything may be left out."""

    way = forms.ChoiceField(label="Way", required=False, choices=_WAYS)
    address = forms.GenericIPAddressField(
        label="Address of the other end",
        required=False,
        help_text="Where the guest goes, or who comes.",
        widget=forms.TextInput(attrs={"class": "mono", "autocomplete": "off"}),
    )
    protocol = forms.ChoiceField(label="Protocol", required=False, choices=_PROTOCOLS)
    port = forms.IntegerField(label="Port", required=False, min_value=0, max_value=65535)
    version = forms.ChoiceField(label="IP version", required=False, choices=_VERSIONS)

    def clean(self) -> dict[str, Any]:
        """What was left out is what it is without."""
        found = super().clean() or {}
        return {
            "way": found.get("way") or "out",
            "address": found.get("address") or "",
            "protocol": found.get("protocol") or "tcp",
            "port": found.get("port") or 0,
            "version": int(found.get("version") or 4),
        }
