"""Forms of networks and reservations; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.ui.forms import ActionForm, NameField
from networks.forms.choices import project_choices
from networks.models import Network


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
