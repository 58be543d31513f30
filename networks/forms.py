"""Forms of networks, reservations and forwards; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm, NameField, PortField
from networks.models import Forward, Network, Reservation


def project_choices(projects: list[Any]) -> list[tuple[str, str]]:
    return [(str(project.uuid), project.name) for project in projects]


class AddressField(forms.ChoiceField):
    """The public address to listen on; a form drops it where there is nothing to choose."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", "Public address")
        super().__init__(required=False, **options)

    def offer(self, addresses: list[PublicAddress]) -> bool:
        """Take these for choices; whether there is a choice at all."""
        hosts = {address.host_id for address in addresses}
        self.choices = [("", "The default one of its host")] + [
            (str(address.uuid), _words(address, len(hosts))) for address in addresses
        ]
        return len(addresses) > len(hosts)


def _words(address: PublicAddress, hosts: int) -> str:
    words = f"{address}, the default" if address.is_default else str(address)
    return f"{words} of host {address.host}" if hosts > 1 else words


class NetworkForm(ActionForm):
    name = NameField()
    mode = forms.ChoiceField(
        widget=forms.RadioSelect, choices=Network.Mode.choices, initial=Network.Mode.NAT
    )
    ipv4_subnet = forms.CharField(
        label="IPv4 subnet",
        required=False,
        help_text="A private subnet in CIDR form. Empty takes a free one.",
    )
    project = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, projects: list[Any], **options: Any) -> None:
        super().__init__(*args, **options)
        if len(projects) > 1:
            self.fields["project"].choices = project_choices(projects)  # type: ignore[attr-defined]
        else:
            del self.fields["project"]


class RenameForm(ActionForm):
    name = NameField(label="New name")


class ReservationForm(ActionForm):
    name = NameField()
    address = forms.CharField(required=False, help_text="Empty takes the lowest free address.")
    mac = forms.CharField(label="MAC address", required=False, help_text="Empty makes a new one.")


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
