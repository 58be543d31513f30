"""Storing what `networks.certificates` has looked at."""

from __future__ import annotations

from networks.certificates import Given, kept
from networks.models import Certificate, HostName, PanelName

_AS_GIVEN = ("chain", "fingerprint", "names", "issuer", "not_before", "not_after")


def store_certificate(owner: HostName | PanelName, given: Given) -> None:
    """In place of the one before."""
    values = {each: getattr(given, each) for each in _AS_GIVEN}
    values["concealed_key"] = kept(given.key)
    if isinstance(owner, HostName):
        Certificate.objects.update_or_create(host_name=owner, defaults=values)
    else:
        Certificate.objects.update_or_create(panel_name=owner, defaults=values)
