"""Forms of snapshots; their fields are named as the actions' errors."""

from __future__ import annotations

from django import forms

from kvmweb.ui.forms import ActionForm


class SnapshotForm(ActionForm):
    name = forms.CharField(label="Name", max_length=63, widget=forms.TextInput())
    note = forms.CharField(label="Note", max_length=200, required=False)
    memory = forms.BooleanField(
        label="With the guest's memory",
        required=False,
        help_text="The guest stands still while it is written, and can later go on from there. "
        "Without it, going back is like starting after a power cut.",
    )


class BackForm(ActionForm):
    memory = forms.BooleanField(label="Go on from its memory", required=False)
    sure = forms.BooleanField(
        label="What was written since then is lost.",
        error_messages={"required": "Tick that it may be lost."},
    )
