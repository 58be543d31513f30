"""What an abuse request tells: an address, a port, a moment."""

from __future__ import annotations

from django import forms
from django.db.models import Q

from networks.models import Holding, HoldingQuerySet


class WhoForm(forms.Form):
    address = forms.GenericIPAddressField(
        label="Public address", required=False, widget=forms.TextInput(attrs={"class": "mono"})
    )
    name = forms.CharField(
        label="Host name",
        required=False,
        max_length=253,
        widget=forms.TextInput(attrs={"class": "mono", "autocapitalize": "none"}),
    )
    port = forms.IntegerField(label="Port", required=False, min_value=0, max_value=65535)
    protocol = forms.ChoiceField(
        label="Protocol", required=False, choices=[("", "Any"), ("tcp", "TCP"), ("udp", "UDP")]
    )
    way = forms.ChoiceField(
        label="Way", required=False, choices=[("", "Both"), *Holding.Way.choices]
    )
    at = forms.DateTimeField(
        label="At (UTC)",
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"
        ),
        input_formats=[
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M:%S",
            "%Y-%m-%d %H:%M",
        ],
    )

    def narrowed(self, rows: HoldingQuerySet) -> HoldingQuerySet:
        """`rows` that fit what was asked for."""
        asked = self.cleaned_data
        if asked["address"]:
            rows = rows.filter(public_address=asked["address"])
        if asked["name"]:
            rows = rows.filter(served_name__iexact=asked["name"].strip().rstrip("."))
        if asked["port"] is not None:
            rows = rows.filter(first_port__lte=asked["port"], last_port__gte=asked["port"])
        if asked["protocol"]:
            rows = rows.filter(protocol__in=[asked["protocol"], "any"])
        if asked["way"]:
            rows = rows.filter(way=asked["way"])
        if asked["at"]:
            held = Q(until__isnull=True) | Q(until__gte=asked["at"])
            rows = rows.filter(held, since__lte=asked["at"])
        return rows
