"""Forms of networks and reservations; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from kvmweb.core.errors import Invalid, KvmwebError
from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm, NameField
from networks.forms.choices import project_choices
from networks.models import Network
from networks.network_settings import LARGEST_MTU, SMALLEST_MTU, Settings
from networks.ways import Rule, read_lines


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
    own_router = forms.BooleanField(
        label="Own router",
        required=False,
        help_text="The subnet may be one that other networks of the host have too. Not for routed "
        "networks, without IPv6 and peers, and decided once: changing it later would cut off all "
        "guests.",
    )
    project = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, projects: list[Any], routed: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        if routed:
            self.fields[
                "ipv4_subnet"
            ].help_text += (
                f" A routed network may also have a part of {', '.join(routed)}, which is public."
            )
        if len(projects) > 1:
            self.fields["project"].choices = project_choices(projects)  # type: ignore[attr-defined]
        else:
            del self.fields["project"]


class SettingsForm(ActionForm):
    """What a network is changed to. `confirm` is offered once running VMs would lose something."""

    name = NameField(help_text="Guests notice nothing of another name.")
    mode = forms.ChoiceField(
        widget=forms.RadioSelect,
        choices=Network.Mode.choices,
        help_text="With another mode, open connections to and from the outside end.",
    )
    source_addresses = forms.MultipleChoiceField(
        label="Seen outside as",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None is the host's own address. With several, every guest has one of them, "
        "always the same. Connections by an address that is taken away end.",
    )
    egress = forms.ChoiceField(
        label="Guests may go", widget=forms.RadioSelect, choices=Network.Egress.choices
    )
    egress_rules = forms.CharField(
        label="Where to",
        required=False,
        widget=forms.Textarea(attrs={"class": "mono", "rows": 4}),
        help_text="One place a line: subnet, then tcp, udp, icmp or any, then ports. Such as "
        "“198.51.100.0/24 tcp 443”, “0.0.0.0/0 udp 53-123” or “2001:db8::/32 any”. Think of the "
        "name servers. Connections to what is no longer listed end, all others stay.",
    )
    guests_apart = forms.BooleanField(
        label="Keep guests from each other",
        required=False,
        help_text="They then meet only by forwards.",
    )
    mtu = forms.IntegerField(
        label="MTU",
        min_value=SMALLEST_MTU,
        max_value=LARGEST_MTU,
        help_text="Running guests learn of another one when they next ask for their address, "
        "within an hour, or when they start anew.",
    )
    confirm = forms.BooleanField(label="Yes, change it", required=False)

    def __init__(self, data: Any, *, settings: Settings, addresses: list[PublicAddress]) -> None:
        initial = {
            "name": settings.name,
            "mode": settings.mode,
            "source_addresses": sorted(settings.sources),
            "egress": "allowed" if settings.rules is None else "listed",
            "egress_rules": "\n".join(str(rule) for rule in settings.rules or ()),
            "guests_apart": settings.guests_apart,
            "mtu": settings.mtu,
        }
        super().__init__(data, initial=initial)
        choices = [(each.address, each.address) for each in addresses]
        self.fields["source_addresses"].choices = choices  # type: ignore[attr-defined]
        self.is_asking = False

    def clean_egress_rules(self) -> tuple[Rule, ...]:
        try:
            return read_lines(self.cleaned_data["egress_rules"])
        except Invalid as error:
            raise ValidationError(f"{error.message} {error.remedy}") from error

    def clean(self) -> dict[str, Any]:
        """Addresses that no longer apply are left out rather than refused: the boxes are there in
        every mode."""
        cleaned = super().clean() or {}
        if cleaned.get("mode") != Network.Mode.NAT:
            cleaned["source_addresses"] = None
        return cleaned

    def refuse(self, error: KvmwebError) -> None:
        self.is_asking = error.field == "confirm"
        super().refuse(error)


class ReservationForm(ActionForm):
    name = NameField()
    address = forms.CharField(required=False, help_text="Empty takes the lowest free address.")
    mac = forms.CharField(label="MAC address", required=False, help_text="Empty makes a new one.")
