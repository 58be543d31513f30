"""Forms of SSH keys, and the part of a new VM's form that says who may log in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from kvmweb.ui.forms import ActionForm
from vms.guest import LEAST_PASSWORD, LONGEST_PASSWORD, new_password
from vms.models import Image, SshKey


class KeyForm(ActionForm):
    public_key = forms.CharField(
        label="Public key",
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text="The line in ~/.ssh/id_ed25519.pub, or of another .pub file.",
    )
    name = forms.CharField(
        max_length=63, required=False, help_text="Empty takes the comment at its end."
    )


class AccessForm(ActionForm):
    """Who may log in to a guest: kept keys, others, a password, and as whom."""

    keys = forms.MultipleChoiceField(
        label="Your keys", required=False, widget=forms.CheckboxSelectMultiple
    )
    ssh_keys = forms.CharField(
        label="SSH public keys",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        help_text="One a line, as in ~/.ssh/id_ed25519.pub. Without a key and a password nobody "
        "can log in, unless user-data sees to it.",
    )
    login_user = forms.CharField(
        label="User",
        required=False,
        max_length=32,
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false"}),
        help_text="Empty takes the image's own name for it.",
    )
    password = forms.CharField(
        required=False,
        max_length=LONGEST_PASSWORD,
        min_length=LEAST_PASSWORD,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="For the console, and for SSH too. Only its hash is kept.",
    )
    generate_password = forms.BooleanField(
        label="Make a random password",
        required=False,
        help_text="Shown once, when the VM is made.",
    )
    user_data = forms.CharField(
        label="User-data",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "class": "mono", "spellcheck": "false"}),
        help_text="A script (#!/bin/sh) or #cloud-config, run at the first boot.",
    )
    password_made = ""

    def offer_keys(self, keys: list[SshKey]) -> None:
        """Those the user keeps, all of them ticked at first."""
        if not keys:
            del self.fields["keys"]
            return
        choices = [(str(key.uuid), f"{key.name} ({key.fingerprint[:19]}…)") for key in keys]
        self.fields["keys"].choices = choices  # type: ignore[attr-defined]
        self.fields["keys"].initial = [uuid for uuid, _ in choices]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("generate_password") and data.get("password"):
            raise ValidationError({"password": "Give one or have one made, not both."})
        return data

    def access(self, image: Image) -> dict[str, Any]:
        """What the action takes of it; kept keys are ticked by themselves, so an image that
        cannot take any is not asked to."""
        data = self.cleaned_data
        if data["generate_password"] and not self.password_made:
            self.password_made = new_password()
        return {
            "keys": data.get("keys", []) if image.speaks_cloud_init else [],
            "ssh_keys": [data["ssh_keys"]] if data["ssh_keys"].strip() else [],
            "login_user": data["login_user"],
            "password": self.password_made or data["password"],
            "user_data": data["user_data"],
        }
