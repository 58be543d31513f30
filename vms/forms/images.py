"""Forms of images; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator

from kvmweb.projects.models import Project
from kvmweb.ui.forms import ActionForm, NameField
from networks.forms.choices import project_choices
from vms.actions import FACTS, NewImage
from vms.models import Image

EVERYBODY = "everybody"


class FactsForm(ActionForm):
    """What is said of an image."""

    description = forms.CharField(max_length=200, required=False)
    os = forms.CharField(
        label="Operating system", max_length=60, required=False, help_text="Such as Debian 12."
    )
    default_user = forms.CharField(
        label="Default user",
        max_length=32,
        required=False,
        validators=[RegexValidator(r"^[a-z_][a-z0-9_-]*$", "This is no user name.")],
        help_text="Who SSH keys are for.",
    )
    firmware = forms.ChoiceField(label="Starts by", choices=Image.Firmware.choices)
    speaks_cloud_init = forms.BooleanField(
        label="It speaks cloud-init",
        required=False,
        initial=True,
        help_text="So it takes a host name, keys and user-data at its first start.",
    )
    min_memory_mib = forms.IntegerField(label="Memory from", min_value=1, initial=512)
    least_disk_gib = forms.IntegerField(label="Disk from", min_value=1, initial=1)

    def facts(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in FACTS}


class NewImageForm(FactsForm):
    """With `replaces` it is the next version of that image, under its name and for the same."""

    name = NameField()
    project = forms.ChoiceField(label="For")
    checksum = forms.CharField(
        required=False,
        max_length=140,
        help_text="SHA-256 or SHA-512 of the file.",
        widget=forms.TextInput(attrs={"class": "mono", "spellcheck": "false"}),
    )
    field_order = ("name", "project")

    def __init__(
        self,
        *args: Any,
        projects: list[Project],
        public: bool,
        replaces: Image | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.replaces = replaces
        if replaces is not None:
            del self.fields["name"], self.fields["project"]
            return
        everybody = [(EVERYBODY, "Everybody")] if public else []
        choices = [*everybody, *project_choices(projects)]
        self.fields["project"].choices = choices  # type: ignore[attr-defined]

    def wanted(self) -> NewImage:
        data = self.cleaned_data
        if self.replaces is not None:
            about: dict[str, Any] = {"replaces": self.replaces.uuid}
        elif data["project"] == EVERYBODY:
            about = {"name": data["name"], "public": True}
        else:
            about = {"name": data["name"], "project": data["project"]}
        return NewImage(**about, **self.facts(), checksum=data["checksum"])


class ImportForm(NewImageForm):
    url = forms.CharField(
        label="Address",
        max_length=500,
        help_text="https://… of a qcow2, raw, VMDK or VHDX disk, or an ISO; it may be packed by "
        "gzip, xz or bzip2.",
        widget=forms.URLInput(attrs={"class": "mono", "spellcheck": "false"}),
    )
    checksum_url = forms.CharField(
        label="Address of checksums",
        max_length=500,
        required=False,
        help_text="Where its publisher lists them, such as …/SHA256SUMS; or give it yourself.",
        widget=forms.URLInput(attrs={"class": "mono", "spellcheck": "false"}),
    )


class UploadForm(NewImageForm):
    """The script fills in the size of the file that was chosen."""

    upload_bytes = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class CatalogueForm(ActionForm):
    catalogue = forms.CharField()
    project = forms.CharField()


class DeleteImageForm(ActionForm):
    """Nothing to fill in: what an image held can be brought in again."""
