"""Forms of networks, reservations and forwards; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.ui.forms import ActionForm, NameField, PortField
from networks.models import Forward, Network, Reservation


def project_choices(projects: list[Any]) -> list[tuple[str, str]]:
    return [(str(project.uuid), project.name) for project in projects]


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
    note = forms.CharField(required=False, max_length=200, help_text="What is it for?")

    def __init__(self, *args: Any, targets: list[Reservation], **options: Any) -> None:
        super().__init__(*args, **options)
        groups: dict[str, list[tuple[str, str]]] = {}
        for target in targets:
            label = f"{target.name} ({target.address})"
            groups.setdefault(target.network.name, []).append((str(target.uuid), label))
        self.fields["reservation"].choices = list(groups.items())  # type: ignore[attr-defined]


class ForwardChangeForm(ActionForm):
    target_port = PortField(label="Port of the VM")
    note = forms.CharField(required=False, max_length=200)
