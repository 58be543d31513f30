"""Choices that several forms offer."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.hosts.models import PublicAddress


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
