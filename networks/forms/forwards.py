"""Forms of forwards; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm, PortField
from networks.admission import LARGEST_LIMIT, parse_sources
from networks.forms.choices import AddressField, EndField
from networks.models import Forward, Reservation
from networks.ports import LARGEST_PORT


class SourcesField(forms.CharField):
    """Addresses and networks, as many as people like on a line."""

    def __init__(self) -> None:
        super().__init__(
            label="Allowed sources",
            required=False,
            help_text="Addresses or networks, such as 198.51.100.0/24; empty lets anyone in.",
            widget=forms.Textarea(attrs={"rows": 2, "class": "mono", "spellcheck": "false"}),
        )

    def clean(self, value: Any) -> list[str]:
        try:
            return parse_sources(super().clean(value).replace(",", " ").split(), None)
        except Invalid as error:
            raise ValidationError(f"{error.message} {error.remedy}") from error


class LimitField(forms.IntegerField):
    """How many at most; empty is no limit."""

    def __init__(self, *, empty: str = "no limit", **options: Any) -> None:
        super().__init__(required=False, min_value=1, max_value=LARGEST_LIMIT, **options)
        self.widget.attrs |= {"inputmode": "numeric", "placeholder": empty}


class ForwardForm(ActionForm):
    """A new forward. Choices are grouped by network and hold only what the user may change."""

    reservation = forms.ChoiceField(label="Leads to")
    target_port = PortField(label="Port of the VM", required=False)
    protocol = forms.ChoiceField(choices=Forward.Protocol.choices)
    public_port = PortField(
        required=False, help_text="Empty takes a free one, such as the one shown."
    )
    ports = forms.IntegerField(
        label="Ports in a row",
        required=False,
        min_value=1,
        max_value=LARGEST_PORT,
        help_text="A range: without a port of the VM it leads to the same ports.",
    )
    public_address = AddressField()
    source_nat = forms.BooleanField(label="Its own connections leave by it too", required=False)
    note = forms.CharField(required=False, max_length=200, help_text="What is it for?")
    sources = SourcesField()
    expires_at = EndField()
    max_connections = LimitField(label="Connections at once")
    max_rate = LimitField(label="New connections a second")
    max_burst = LimitField(
        label="Burst", empty="as many", help_text="New ones at once, beyond that."
    )

    def __init__(
        self,
        *args: Any,
        targets: list[Reservation],
        addresses: list[PublicAddress],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.initial.setdefault("target_port", 80)
        self.initial.setdefault("ports", 1)
        if not self.fields["public_address"].offer(addresses):  # type: ignore[attr-defined]
            del self.fields["public_address"]
        groups: dict[str, list[tuple[str, str]]] = {}
        for target in targets:
            label = f"{target.name} ({target.address})"
            groups.setdefault(target.network.name, []).append((str(target.uuid), label))
        self.fields["reservation"].choices = list(groups.items())  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """1:1 NAT has no ports and is both ways: what the fields held before is meant by nobody."""
        data = self.cleaned_data
        data["ports"] = data.get("ports") or 1
        if not data.get("source_nat"):
            data.pop("source_nat", None)
        if data.get("protocol") == Forward.Protocol.ALL:
            data |= {"ports": 1, "target_port": None, "public_port": None}
        return data


_UNSAID = (("reservation", ""), ("target_port", None))


class ForwardChangeForm(ActionForm):
    """The reservations of the forward's network are the choices."""

    reservation = forms.ChoiceField(label="Leads to", required=False)
    target_port = PortField(label="Port of the VM", required=False)
    source_nat = forms.BooleanField(label="Its own connections leave by it too", required=False)
    note = forms.CharField(required=False, max_length=200)
    sources = SourcesField()
    expires_at = EndField()
    max_connections = LimitField(label="Connections at once")
    max_rate = LimitField(label="New connections a second")
    max_burst = LimitField(
        label="Burst", empty="as many", help_text="New ones at once, beyond that."
    )

    def __init__(self, *args: Any, targets: list[Reservation], whole: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if whole:
            del self.fields["target_port"], self.fields["source_nat"]
        self.fields["reservation"].choices = [  # type: ignore[attr-defined]
            (str(target.uuid), f"{target.name} ({target.address})") for target in targets
        ]

    def clean(self) -> dict[str, Any]:
        """A field nobody sent changes nothing."""
        sent = {
            name: value
            for name, value in self.cleaned_data.items()
            if name in self.data and (name, value) not in _UNSAID
        }
        if "sources" in self.data and "source_nat" in self.fields:
            sent["source_nat"] = self.cleaned_data["source_nat"]
        return sent
