"""Forms of forwards; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm, PortField
from networks.forms.choices import AddressField
from networks.models import Forward, Reservation


class ForwardForm(ActionForm):
    """A new forward. Choices are grouped by network and hold only what the user may change."""

    reservation = forms.ChoiceField(label="Leads to")
    target_port = PortField(label="Port of the VM", initial=80)
    protocol = forms.ChoiceField(choices=Forward.Protocol.choices)
    public_port = PortField(
        required=False, help_text="Empty takes a free one, such as the one shown."
    )
    public_address = AddressField()
    note = forms.CharField(required=False, max_length=200, help_text="What is it for?")

    def __init__(
        self,
        *args: Any,
        targets: list[Reservation],
        addresses: list[PublicAddress],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        if not self.fields["public_address"].offer(addresses):  # type: ignore[attr-defined]
            del self.fields["public_address"]
        groups: dict[str, list[tuple[str, str]]] = {}
        for target in targets:
            label = f"{target.name} ({target.address})"
            groups.setdefault(target.network.name, []).append((str(target.uuid), label))
        self.fields["reservation"].choices = list(groups.items())  # type: ignore[attr-defined]


class ForwardChangeForm(ActionForm):
    target_port = PortField(label="Port of the VM")
    note = forms.CharField(required=False, max_length=200)
