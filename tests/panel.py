"""A name of the panel for tests."""

from __future__ import annotations

from django.contrib.auth.models import User

from kvmweb.hosts.models import PublicAddress
from kvmweb.projects.actions import Actor
from networks.actions import add_panel_name
from networks.models import PanelName
from tests.certificates import certificate

NAME = "panel.example.net"
MADE = certificate(NAME)


def panel_name(operator: User | None) -> PanelName:
    """One on the default address."""
    assert operator is not None
    public = PublicAddress.objects.get(is_default=True)
    return add_panel_name(
        Actor(operator),
        public_address=public.uuid,
        name=NAME,
        certificate=MADE.certificate,
        private_key=MADE.private_key,
    )
