"""Forms of host names; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm, PortField
from networks.forms.choices import AddressField
from networks.models import HostName, Reservation


class ServingForm(ActionForm):
    """On which ports of the VM a name is served."""

    reservation = forms.ChoiceField(label="Leads to", required=False)
    http_port = PortField(
        label="HTTP: port of the VM",
        required=False,
        initial=80,
        help_text="For requests on port 80; empty does not serve them.",
    )
    tls = forms.ChoiceField(
        label="TLS on port 443", choices=HostName.Tls.choices, initial=HostName.Tls.PASSTHROUGH
    )
    tls_port = PortField(label="TLS: port of the VM", required=False, initial=443)
    proxy_protocol = forms.BooleanField(
        label="Tell the client's address by the PROXY protocol",
        required=False,
        help_text="Only if the server in the VM expects it on its TLS port.",
    )
    note = forms.CharField(required=False, max_length=200, help_text="What is it for?")

    def __init__(self, *args: Any, targets: list[Reservation], **options: Any) -> None:
        super().__init__(*args, **options)
        groups: dict[str, list[tuple[str, str]]] = {}
        for target in targets:
            label = f"{target.name} ({target.address})"
            groups.setdefault(target.network.name, []).append((str(target.uuid), label))
        self.fields["reservation"].choices = list(groups.items())  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """A reservation that nobody sent is not changed."""
        data = self.cleaned_data
        return {name: value for name, value in data.items() if (name, value) != ("reservation", "")}


class HostNameForm(ServingForm):
    """A new name."""

    name = forms.CharField(
        label="Host name",
        max_length=255,
        help_text="Such as www.example.org, or *.example.org for every name with one more label.",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    public_address = AddressField()

    def __init__(self, *args: Any, addresses: list[PublicAddress], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reservation"].required = True
        if not self.fields["public_address"].offer(addresses):  # type: ignore[attr-defined]
            del self.fields["public_address"]
