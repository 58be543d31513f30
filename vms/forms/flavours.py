"""Forms of flavours, and the field by which a VM takes one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from kvmweb.projects.models import Project
from kvmweb.ui.forms import ActionForm
from vms.models import Flavour

FREE = "A size of your own"
SIZES = ("vcpus", "memory_mib", "disk_gib")


class FlavourForm(ActionForm):
    name = forms.CharField(max_length=40)
    vcpus = forms.IntegerField(label="vCPUs", min_value=1, max_value=64, initial=1)
    memory_mib = forms.IntegerField(label="Memory", min_value=64, initial=1024)
    disk_gib = forms.IntegerField(label="Disk", min_value=1, initial=10)
    projects = forms.MultipleChoiceField(
        label="For",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="With none ticked it is for everybody.",
    )

    def __init__(self, *args: Any, projects: Iterable[Project], **options: Any) -> None:
        super().__init__(*args, **options)
        choices = [(str(each.uuid), each.name) for each in projects]
        self.fields["projects"].choices = choices  # type: ignore[attr-defined]


class SizedForm(ActionForm):
    """Takes a flavour, or numbers where they are allowed."""

    flavour = forms.ChoiceField(label="Flavour", required=False)

    def offer_flavours(self, flavours: list[Flavour], *, limited: bool) -> None:
        """Without any the field is gone; where one must be chosen, the numbers are."""
        choices = [(str(each.uuid), f"{each.name} ({each.words})") for each in flavours]
        if limited:
            for name in SIZES:
                self.fields.pop(name, None)
        elif choices:
            choices = [("", FREE), *choices]
        if limited or choices:
            self.fields["flavour"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["flavour"]

    def size(self, *names: str) -> dict[str, Any]:
        """The flavour, or the numbers of these fields."""
        data = self.cleaned_data
        if data.get("flavour"):
            return {"flavour": data["flavour"]}
        return {name: data[name] for name in names if name in data}
