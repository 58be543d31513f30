"""Choices that several forms offer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import PublicAddress
from networks import expiry


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


class EndField(forms.DateTimeField):
    """When a way in is closed: a moment, or so many hours from now; empty is never."""

    def __init__(self) -> None:
        super().__init__(
            label="Closes at",
            required=False,
            help_text="A moment in UTC such as 2027-01-31 18:00, or hours from now such as 8h.",
            widget=forms.DateTimeInput(
                format="%Y-%m-%d %H:%M", attrs={"placeholder": "never", "autocomplete": "off"}
            ),
        )

    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip().lower()
        if text.endswith("h") and text[:-1].strip().isdecimal():
            try:
                return expiry.after(int(text[:-1]))
            except Invalid as error:
                raise ValidationError(error.message) from error
        return super().to_python(value)
