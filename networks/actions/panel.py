"""What operators ask of the panel's own names."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.hosts.models import PublicAddress
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import certificates, host_names
from networks.actions.certificates import store_certificate
from networks.models import PanelName


class PanelChanges(TypedDict, total=False):
    """Where the panel listens, as its host reaches it; a certificate and its key together."""

    address: str
    port: int
    certificate: str
    private_key: str


def add_panel_name(
    actor: Actor, *, public_address: UUID | str, name: str, **given: Unpack[PanelChanges]
) -> PanelName:
    """Serve the panel by a name on 443 of a public address. Its own address goes on working."""
    label = host_names.parse_name(name)
    if label.startswith("*."):
        raise Invalid("The panel has one whole name.", field="name")
    with transaction.atomic():
        get_for(actor.user, PublicAddress, public_address, write=True)
        rows = lock(PublicAddress.objects.select_related("host"))
        public = rows.get(uuid=public_address)
        host_names.refuse_no_ports(public)
        host_names.refuse_taken(public, label, None)
        panel = PanelName(public_address=public, name=label)
        _take(panel, given)
        parsed = _certificate(panel, given)
        panel.save()
        return _changed(actor, panel, parsed, "Serve the panel as", "create")


def change_panel_name(actor: Actor, uuid: UUID | str, **given: Unpack[PanelChanges]) -> PanelName:
    """Another certificate, or another place where the panel listens. The name stays."""
    with transaction.atomic():
        panel = _locked(actor, uuid)
        _take(panel, given)
        wanted = given.get("certificate") or given.get("private_key")
        parsed = _certificate(panel, given) if wanted else None
        return _changed(actor, panel, parsed, "Change the panel's name", "change")


def delete_panel_name(actor: Actor, uuid: UUID | str) -> PanelName:
    """Serve the panel by this name no longer."""
    with transaction.atomic():
        panel = _locked(actor, uuid)
        panel.present = False
        return _changed(actor, panel, None, "Give up the panel's name", "delete")


def _locked(actor: Actor, uuid: UUID | str) -> PanelName:
    panel = get_for(actor.user, PanelName, uuid, write=True, lock=True)
    if not panel.present:
        raise Conflict("This name is being given up.", code="deleting")
    return panel


def _take(panel: PanelName, given: PanelChanges) -> None:
    if "address" in given:
        panel.address = _parse_address(given["address"])
    if "port" in given:
        panel.port = given["port"]
    if not 1 <= panel.port <= 65535:
        raise Invalid("A port is a number from 1 to 65535.", field="port")


def _parse_address(text: str) -> str:
    try:
        return str(IPv4Address(text.strip()))
    except AddressValueError as error:
        raise Invalid(
            "This is no IPv4 address.",
            field="address",
            remedy="127.0.0.1 where the panel runs on this host.",
        ) from error


def _certificate(panel: PanelName, given: PanelChanges) -> certificates.Given:
    chain, key = given.get("certificate", ""), given.get("private_key", "")
    return certificates.parse(chain, key, panel.name, timezone.now())


def _changed(
    actor: Actor, panel: PanelName, given: certificates.Given | None, verb: str, action: str
) -> PanelName:
    panel.save()
    if given is not None:
        store_certificate(panel, given)
    job = request(actor, panel, f"{verb} {panel}")
    audit(actor, f"panel.{action}", panel, project=None, job=job.uuid)
    return panel
