"""Forms of the firewall of guests; their fields are named as the actions' errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from kvmweb.ui.forms import ActionForm, NameField
from networks.forms.choices import project_choices
from networks.inbound import RuleText
from networks.models import AddressSet, Rule, RuleSet


class LinesField(forms.CharField):
    """Addresses and networks, as many on a line as people like."""

    def __init__(self, **options: Any) -> None:
        area = forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"})
        super().__init__(widget=area, **options)

    def clean(self, value: Any) -> list[str]:
        return str(super().clean(value)).replace(",", " ").split()


class NewSetForm(ActionForm):
    """What both sorts of sets begin with: a name, and whose it is."""

    name = NameField()
    project = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, projects: list[Any], **options: Any) -> None:
        super().__init__(*args, **options)
        if len(projects) > 1:
            self.fields["project"].choices = project_choices(projects)  # type: ignore[attr-defined]
        else:
            del self.fields["project"]


class NewAddressSetForm(NewSetForm):
    networks = LinesField(
        label="Addresses", help_text="Such as 198.51.100.7, 198.51.100.0/24 or 2001:db8::/32."
    )


class AddressSetForm(ActionForm):
    name = NameField()
    networks = LinesField(label="Addresses", required=False)


class RuleForm(ActionForm):
    """One more rule of a set."""

    protocol = forms.ChoiceField(choices=Rule.Protocol.choices)
    ports = forms.CharField(
        required=False,
        max_length=20,
        help_text="443 or 8000-8100; empty is all.",
        widget=forms.TextInput(attrs={"class": "mono", "autocomplete": "off"}),
    )
    sources = forms.CharField(
        label="From",
        required=False,
        max_length=2000,
        help_text="Addresses or networks; empty is anyone.",
        widget=forms.TextInput(attrs={"class": "mono", "autocomplete": "off"}),
    )
    address_set = forms.ChoiceField(label="Or from an address set", required=False)
    note = forms.CharField(required=False, max_length=200)

    def __init__(self, *args: Any, sets: Iterable[AddressSet], **options: Any) -> None:
        super().__init__(*args, **options)
        choices = [("", "—"), *((str(each.uuid), each.name) for each in sets)]
        self.fields["address_set"].choices = choices  # type: ignore[attr-defined]

    def rule(self) -> RuleText:
        """The rule as typed, once the form is valid."""
        typed = self.cleaned_data
        return RuleText(
            protocol=typed["protocol"],
            ports=typed["ports"],
            sources=tuple(typed["sources"].replace(",", " ").split()),
            address_set=typed["address_set"] or None,
            note=typed["note"],
        )


class RenameSetForm(ActionForm):
    name = NameField()


class AppliedForm(ActionForm):
    """Which rule sets open something; none closes it."""

    rule_sets = forms.MultipleChoiceField(
        label="Rule sets", required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, sets: Iterable[RuleSet], **options: Any) -> None:
        super().__init__(*args, **options)
        choices = [(str(each.uuid), each.name) for each in sets]
        self.fields["rule_sets"].choices = choices  # type: ignore[attr-defined]
