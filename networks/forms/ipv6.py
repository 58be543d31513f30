"""The form of a network's IPv6."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.core.errors import KvmwebError
from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm
from networks.models import Ipv6, Network


class Ipv6Form(ActionForm):
    """`confirm` is offered once running VMs would lose something."""

    ipv6 = forms.ChoiceField(label="IPv6", widget=forms.RadioSelect, choices=Ipv6.choices)
    ipv6_subnet = forms.CharField(
        label="IPv6 subnet", required=False, help_text="A /64. Empty takes a free one."
    )
    source_address6 = forms.ChoiceField(
        label="Seen outside as", required=False, help_text="Private IPv6 goes out by this address."
    )
    confirm = forms.BooleanField(label="Yes, change it", required=False)

    def __init__(self, data: Any, *, network: Network, addresses: list[PublicAddress]) -> None:
        source = network.source_address6
        initial = {
            "ipv6": network.ipv6,
            "ipv6_subnet": network.ipv6_subnet,
            "source_address6": source.address if source else "",
        }
        if network.ipv6 == Ipv6.OFF and addresses:
            initial["source_address6"] = addresses[0].address
        super().__init__(data, initial=initial)
        choices = [("", "The host's own address"), *((str(a), str(a)) for a in addresses)]
        self.fields["source_address6"].choices = choices  # type: ignore[attr-defined]
        self._network = network
        self.is_asking = False

    def clean(self) -> dict[str, Any]:
        """A subnet that is there still from another mode is none that somebody chose."""
        cleaned = super().clean() or {}
        network = self._network
        if cleaned.get("ipv6") != network.ipv6 and cleaned.get("ipv6_subnet") == (
            network.ipv6_subnet
        ):
            cleaned["ipv6_subnet"] = ""
        return cleaned

    def refuse(self, error: KvmwebError) -> None:
        self.is_asking = error.field == "confirm"
        super().refuse(error)
