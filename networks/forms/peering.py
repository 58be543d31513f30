"""The form of peerings; its fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.ui.forms import ActionForm
from networks.models import Network


class PeeringForm(ActionForm):
    peer = forms.ChoiceField(label="Network")

    def __init__(self, data: Any = None, *, others: list[Network]) -> None:
        super().__init__(data)
        choices = [(str(other.uuid), f"{other.name} ({other.place})") for other in others]
        self.fields["peer"].choices = choices  # type: ignore[attr-defined]
