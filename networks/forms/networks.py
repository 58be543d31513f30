"""Forms of networks and reservations; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from kvmweb.core.errors import Invalid, KvmwebError
from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import ActionForm, NameField
from networks.forms.choices import project_choices
from networks.models import Attachment, Network
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
    attachment = forms.ChoiceField(
        label="Interface of the host",
        required=False,
        help_text="Of a bridged network alone. On a bridge, guests are tied to their MAC and can be"
        " closed; by macvtap nothing of theirs passes the host.",
    )
    guarded = forms.BooleanField(
        label="Close bridged guests but for what rules open",
        required=False,
        help_text="Possible on a bridge.",
    )
    logs_refused = forms.BooleanField(
        label="Note what the firewall refuses",
        required=False,
        help_text="For ten minutes, to be seen under “Refused”. It can be switched later.",
    )
    project = forms.ChoiceField(required=False)

    def __init__(
        self,
        *args: Any,
        projects: list[Any],
        routed: list[str],
        attachments: list[Attachment],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.fields["attachment"].choices = [  # type: ignore[attr-defined]
            ("", "None"),
            *((str(each.uuid), f"{each} ({each.get_kind_display()})") for each in attachments),
        ]
        if not attachments:
            del self.fields["attachment"], self.fields["guarded"]
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

    def clean(self) -> dict[str, Any]:
        """What does not apply is left out rather than refused: it is there in every mode."""
        cleaned = super().clean() or {}
        if cleaned.get("mode") == Network.Mode.BRIDGED:
            cleaned["ipv4_subnet"] = ""
        else:
            cleaned["attachment"] = cleaned["guarded"] = None
        return cleaned


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
    guarded = forms.BooleanField(
        label="Close guests but for what rules open",
        required=False,
        help_text="To all on their bridge, their neighbours too. Connections that began from"
        " outside while they were open go on.",
    )
    logs_refused = forms.BooleanField(
        label="Note what the firewall refuses",
        required=False,
        help_text="For ten minutes, to be seen under “Refused”. Switching it off forgets it.",
    )
    mtu = forms.IntegerField(
        label="MTU",
        min_value=SMALLEST_MTU,
        max_value=LARGEST_MTU,
        help_text="Running guests learn of another one when they next ask for their address, "
        "within an hour, or when they start anew.",
    )
    confirm = forms.BooleanField(label="Yes, change it", required=False)

    def __init__(
        self,
        data: Any,
        *,
        settings: Settings,
        addresses: list[PublicAddress],
        fields: frozenset[str],
    ) -> None:
        initial = {
            "name": settings.name,
            "mode": settings.mode,
            "source_addresses": sorted(settings.sources),
            "egress": "allowed" if settings.rules is None else "listed",
            "egress_rules": "\n".join(str(rule) for rule in settings.rules or ()),
            "guests_apart": settings.guests_apart,
            "guarded": settings.guarded,
            "logs_refused": settings.logs_refused,
            "mtu": settings.mtu,
        }
        super().__init__(data, initial=initial)
        choices = [(each.address, each.address) for each in addresses]
        self.fields["source_addresses"].choices = choices  # type: ignore[attr-defined]
        for name in self.fields.keys() - fields:
            del self.fields[name]
        if "guarded" in self.fields:
            self.fields["guests_apart"].help_text = "Of this network, on their bridge."
        self.is_asking = False

    def add_place(self, line: str) -> None:
        """Show one more place in the list, which is only saved with the form."""
        lines = self.initial["egress_rules"].splitlines()
        if line and line not in lines:
            self.initial["egress_rules"] = "\n".join([*lines, line])

    def clean_egress_rules(self) -> tuple[Rule, ...]:
        try:
            return read_lines(self.cleaned_data["egress_rules"])
        except Invalid as error:
            raise ValidationError(f"{error.message} {error.remedy}") from error

    def clean(self) -> dict[str, Any]:
        """Addresses that no longer apply are left out rather than refused: the boxes are there in
        every mode."""
        cleaned = super().clean() or {}
        if "mode" in self.fields and cleaned.get("mode") != Network.Mode.NAT:
            cleaned["source_addresses"] = None
        return cleaned

    def refuse(self, error: KvmwebError) -> None:
        self.is_asking = error.field == "confirm"
        super().refuse(error)


_BRIDGED = frozenset({"name", "confirm"})
_ON_A_BRIDGE = _BRIDGED | {"guarded", "guests_apart", "logs_refused"}


def settings_fields(network: Network) -> frozenset[str]:
    """What can be set of a network of this mode."""
    if not network.is_bridged:
        return frozenset(SettingsForm.base_fields) - {"guarded"}
    return _ON_A_BRIDGE if network.is_filtered else _BRIDGED


class ReservationForm(ActionForm):
    name = NameField()
    address = forms.CharField(required=False, help_text="Empty takes the lowest free address.")
    mac = forms.CharField(label="MAC address", required=False, help_text="Empty makes a new one.")
