"""The form of the panel's own name; its fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.ui.forms import ActionForm, PortField
from networks.forms.host_names import PemField, PemFile, UnshownArea, pem_data


class PanelForm(ActionForm):
    """Where the panel listens, and its certificate."""

    address = forms.GenericIPAddressField(
        label="Address of the panel",
        protocol="IPv4",
        help_text="As the host reaches it: 127.0.0.1 on the panel's own machine.",
    )
    port = PortField(label="Port of the panel")
    certificate = PemField(
        label="Certificates (PEM)",
        help_text="The name's own first, then the intermediate ones: fullchain.pem.",
    )
    certificate_file = PemFile()
    private_key = PemField(
        label="Private key (PEM)",
        widget=UnshownArea(),
        help_text="Without a password: privkey.pem. It is kept encrypted and never shown again.",
    )
    private_key_file = PemFile()

    def clean(self) -> dict[str, Any]:
        """A file stands for its text."""
        return pem_data(self.cleaned_data)


class NewPanelForm(PanelForm):
    """A name for the panel on one of a host's public addresses."""

    public_address = forms.ChoiceField(label="Public address")
    name = forms.CharField(
        label="Host name",
        max_length=255,
        help_text="Such as panel.example.org. Give it no guest's domain: cookies are shared there.",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
