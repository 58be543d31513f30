"""The form of what a network serves its guests; its fields are named as the action's errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.ui.forms import ActionForm, NameField
from networks.models import Network
from networks.models.bandwidth import MOST_MBIT
from networks.models.services import LONGEST_LEASE, SHORTEST_LEASE


class SpeedField(forms.IntegerField):
    """A limit in Mbit/s; empty for none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, min_value=1, max_value=MOST_MBIT, **options)
        self.widget.attrs |= {"inputmode": "numeric", "placeholder": "no limit"}


class ServicesForm(ActionForm):
    dns_domain = forms.CharField(
        label="Domain",
        required=False,
        help_text="Counts at once; guests search it from their next lease on.",
    )
    dns_servers = forms.CharField(
        label="DNS servers for all other names",
        required=False,
        help_text="IP addresses with spaces between them. Empty asks the host's own.",
    )
    range_first = forms.CharField(label="First address", required=False)
    range_last = forms.CharField(label="Last address", required=False)
    lease_minutes = forms.IntegerField(
        label="A lease lasts", min_value=SHORTEST_LEASE, max_value=LONGEST_LEASE
    )
    max_down_mbit = SpeedField(label="To all guests together")
    max_up_mbit = SpeedField(label="From all guests together")

    def __init__(self, data: Any, *, network: Network) -> None:
        current = {
            "dns_domain": network.dns_domain,
            "dns_servers": " ".join(network.dns_servers),
            "range_first": network.range_first or "",
            "range_last": network.range_last or "",
            "lease_minutes": network.lease_minutes,
            "max_down_mbit": network.max_down_mbit,
            "max_up_mbit": network.max_up_mbit,
        }
        super().__init__(data, initial=current)
        if network.mode == Network.Mode.ISOLATED:
            del self.fields["dns_servers"]
        placeholders = {
            "dns_domain": f"{network.name}.internal",
            "range_first": str(network.gateway + 1),
            "range_last": str(network.subnet.broadcast_address - 1),
        }
        for name, text in placeholders.items():
            self.fields[name].widget.attrs["placeholder"] = text

    def clean_dns_servers(self) -> list[str]:
        return str(self.cleaned_data["dns_servers"]).replace(",", " ").split()


class ReservationChangeForm(ActionForm):
    name = NameField()
    address = forms.CharField()
    max_down_mbit = SpeedField(label="To the guest")
    max_up_mbit = SpeedField(label="From the guest")
