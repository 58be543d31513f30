"""Forms of host names; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm, PortField
from networks.certificates import LARGEST
from networks.forms.choices import AddressField, EndField
from networks.models import HostName, Reservation


class PemField(forms.CharField):
    """A PEM text, pasted. Not required, because it may come as a file; so it is not called optional
    where one of both is."""

    is_wanted = True

    def __init__(self, **options: Any) -> None:
        shown = {"rows": 4, "class": "mono", "spellcheck": "false", "autocomplete": "off"}
        options.setdefault("widget", forms.Textarea(attrs=shown))
        super().__init__(required=False, max_length=LARGEST, **options)
        self.widget.attrs |= shown


class UnshownArea(forms.Textarea):
    """What was typed is not sent back, whatever else has to be mended in the form."""

    def format_value(self, _value: Any) -> str:
        return ""


class PemFile(forms.FileField):
    """The same text as a file."""

    is_wanted = True

    def __init__(self) -> None:
        super().__init__(label="or its file", required=False)
        self.widget.attrs["accept"] = ".pem,.crt,.cer,.key,text/plain"

    def clean(self, data: Any, initial: Any = None) -> str:
        sent = super().clean(data, initial)
        if not sent:
            return ""
        if sent.size > LARGEST:
            raise ValidationError("This is no PEM file of at most 64 KiB.")
        return str(sent.read().decode(errors="replace"))


def pem_data(data: dict[str, Any]) -> dict[str, Any]:
    """A form's data with the texts of files in place of what was pasted, without empty ones."""
    for name in ("certificate", "private_key"):
        text = data.pop(f"{name}_file", "") or data.pop(name, "")
        data.pop(name, "")
        if text:
            data[name] = text
    return data


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
    tls_port = PortField(
        label="TLS: port of the VM",
        required=False,
        help_text="Empty: 443, or the port for HTTP where TLS is ended here.",
    )
    proxy_protocol = forms.BooleanField(
        label="Tell the client's address by the PROXY protocol",
        required=False,
        help_text="Only if the server in the VM expects it on its TLS port.",
    )
    redirect = forms.BooleanField(
        label="Send visitors of port 80 to https",
        required=False,
        help_text="Challenges of certificate authorities still reach the VM's HTTP port.",
    )
    reencrypt = forms.BooleanField(
        label="Ask the VM by TLS again",
        required=False,
        help_text="Whatever certificate it shows; otherwise it is asked by HTTP.",
    )
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
    note = forms.CharField(required=False, max_length=200, help_text="What is it for?")
    expires_at = EndField()

    def __init__(self, *args: Any, targets: list[Reservation], **options: Any) -> None:
        super().__init__(*args, **options)
        groups: dict[str, list[tuple[str, str]]] = {}
        for target in targets:
            label = f"{target.name} ({target.address})"
            groups.setdefault(target.network.name, []).append((str(target.uuid), label))
        leads_to = self.fields["reservation"]
        leads_to.choices, leads_to.is_wanted = list(groups.items()), True  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """What nobody sent is not changed; a file stands for its text."""
        data = pem_data(self.cleaned_data)
        unsaid = {name for name in ("expires_at",) if name not in self.data}
        unsaid |= {"reservation"} if not data.get("reservation") else set()
        return {name: value for name, value in data.items() if name not in unsaid}


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
