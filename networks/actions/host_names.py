"""What people ask of host names."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import bridged, certificates, expiry, history, host_names
from networks.actions.certificates import store_certificate
from networks.actions.forwards import lock_public_address
from networks.actions.lookup import locked, named, refuse_as_target, refuse_parked, still_present
from networks.models import Certificate, HostName, Network, Reservation

_HTTP, _HTTPS = 80, 443


class Serving(TypedDict, total=False):
    """On which ports of the VM a name is served; an `http_port` of None is not at all.

    `certificate` and `private_key` are PEM texts, for TLS that ends here.
    """

    http_port: int | None
    tls: str
    tls_port: int | None
    proxy_protocol: bool
    reencrypt: bool
    redirect: bool
    certificate: str
    private_key: str
    note: str
    expires_at: datetime | None


class HostNameChanges(Serving, total=False):
    """What may be changed of a host name; what is not named stays."""

    reservation: UUID | str


def add_host_name(
    actor: Actor,
    *,
    reservation: UUID | str,
    name: str,
    public_address: UUID | str | None = None,
    **serving: Unpack[Serving],
) -> HostName:
    """Lead a name on the shared ports 80 and 443 of a public address to a reservation."""
    label = host_names.parse_name(name)
    with transaction.atomic():
        target = named(actor, Reservation, reservation, "reservation")
        public = lock_public_address(target.network.host, public_address)
        network = locked(actor, target.network.uuid)
        target = Reservation.objects.get(pk=target.pk)
        _refuse_unusable(network, target)
        host_names.refuse_no_ports(public)
        host_names.refuse_taken(public, label, network)
        made = HostName(
            network=network,
            reservation=target,
            public_address=public,
            name=label,
            http_port=_HTTP,
            since=network.generation + 1,
        )
        _serve(made, serving)
        given = _given(made, serving)
        _insert(made)
        _keep(made, given)
        history.named(made)
        job = request(actor, network, f"Lead {made}")
        audit(actor, "host_name.create", made, project=network.project, job=job.uuid)
    return made


def _insert(made: HostName) -> None:
    """The database has the last word: nobody gets a name twice."""
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError as error:
        raise Conflict(
            f"The name {made.name} is taken on {made.public_address}.",
            field="name",
            code="host_name_taken",
        ) from error


def change_host_name(
    actor: Actor, uuid: UUID | str, **changes: Unpack[HostNameChanges]
) -> HostName:
    """Lead a name elsewhere. The name and its public address stay."""
    with transaction.atomic():
        found = get_for(actor.user, HostName, uuid, write=True)
        network = locked(actor, found.network.uuid)
        found = still_present(found)
        if "reservation" in changes:
            target = named(actor, Reservation, changes["reservation"], "reservation")
            if target.pk != found.reservation_id:
                _refuse_unusable(network, target)
            found.reservation = target
        _serve(found, changes)
        _keep(found, _given(found, changes))
        history.named(found)
        return _changed(actor, network, found, "Change", "change")


def delete_host_name(actor: Actor, uuid: UUID | str) -> HostName:
    """Give a name up. Nobody else gets it until the host has let go of it."""
    with transaction.atomic():
        found = get_for(actor.user, HostName, uuid, write=True)
        network = locked(actor, found.network.uuid)
        found = still_present(found)
        found.present = False
        return _changed(actor, network, found, "Remove", "delete")


def pause_host_name(actor: Actor, uuid: UUID | str) -> HostName:
    """Serve a name to nobody and keep it; its open connections end."""
    return _set_paused(actor, uuid, paused=True)


def resume_host_name(actor: Actor, uuid: UUID | str) -> HostName:
    """Serve a paused name again."""
    return _set_paused(actor, uuid, paused=False)


def _set_paused(actor: Actor, uuid: UUID | str, *, paused: bool) -> HostName:
    with transaction.atomic():
        found = get_for(actor.user, HostName, uuid, write=True)
        network = locked(actor, found.network.uuid)
        found = still_present(found)
        if not paused:
            refuse_parked(found.reservation)
            expiry.refuse_expired(found, found.name)
        found.paused = paused
        verb = "pause" if paused else "resume"
        return _changed(actor, network, found, verb.capitalize(), verb)


def extend_host_name(
    actor: Actor, uuid: UUID | str, *, hours: int = expiry.USUAL_HOURS
) -> HostName:
    """Let a name lead on for longer, by so many hours from its end or from now; one that has
    expired is served again.
    """
    with transaction.atomic():
        found = get_for(actor.user, HostName, uuid, write=True)
        network = locked(actor, found.network.uuid)
        found = still_present(found)
        expiry.set_end(found, expiry.extended(found.expires_at, hours))
        return _changed(actor, network, found, "Extend", "extend")


def expire_host_name(pk: int) -> None:
    """Close a name whose time is over, for the sweep; it stays its project's."""
    with transaction.atomic():
        known = HostName.objects.select_related("network").get(pk=pk)
        network = lock(Network.objects.all()).get(pk=known.network_id)
        found = HostName.objects.get(pk=pk)
        if not network.present or not found.present or found.paused or not found.is_expired:
            return
        found.paused = True
        _changed(None, network, found, "Close expired", "expire")


def _changed(
    actor: Actor | None, network: Network, found: HostName, verb: str, action: str
) -> HostName:
    found.since = network.generation + 1
    found.save()
    job = request(actor, network, f"{verb} host name {found}")
    audit(actor, f"host_name.{action}", found, project=network.project, job=job.uuid)
    return found


def _refuse_unusable(network: Network, target: Reservation) -> None:
    if network.mode == Network.Mode.ISOLATED:
        raise Conflict(
            f"Network “{network}” is isolated: nothing reaches it from outside.",
            field="reservation",
            code="network_isolated",
        )
    bridged.refuse_way_in(network)
    if target.network_id != network.pk:
        raise Conflict(
            f"A host name stays in its network, “{network}”.",
            field="reservation",
            code="other_network",
            remedy="Delete this name, and add it there when it is gone.",
        )
    refuse_as_target(target)


def _serve(found: HostName, serving: Serving) -> None:
    """Take over on which ports the name is served."""
    if "http_port" in serving:
        found.http_port = _parse_port(serving["http_port"], "http_port")
    if "tls" in serving:
        found.tls = _parse_tls(serving["tls"])
    if "tls_port" in serving:
        found.tls_port = _parse_port(serving["tls_port"], "tls_port")
    elif "tls" in serving:
        found.tls_port = None
    found.proxy_protocol = serving.get("proxy_protocol", found.proxy_protocol)
    found.reencrypt = serving.get("reencrypt", found.reencrypt)
    found.redirect = serving.get("redirect", found.redirect)
    if "note" in serving:
        found.note = serving["note"][:200]
    if "expires_at" in serving:
        expiry.set_end(found, serving["expires_at"])
    if found.tls == HostName.Tls.OFF:
        found.tls_port, found.redirect = None, False
    else:
        found.tls_port = found.tls_port or _usual_port(found)
    found.proxy_protocol &= found.tls == HostName.Tls.PASSTHROUGH
    found.reencrypt &= found.tls == HostName.Tls.TERMINATE
    if found.http_port is None and found.tls == HostName.Tls.OFF:
        raise Invalid(
            "A name is served on port 80, on port 443, or on both.",
            field="http_port",
            remedy="Give the port of the VM that answers HTTP, or switch TLS on.",
        )


def _usual_port(found: HostName) -> int:
    """Where TLS goes that nobody said a port for: what was HTTP inside TLS is HTTP behind it."""
    plain = found.tls == HostName.Tls.TERMINATE and not found.reencrypt
    return (found.http_port or _HTTP) if plain else _HTTPS


def _given(found: HostName, serving: Serving) -> certificates.Given | None:
    """The certificate that came with a wish, if one did and the name is to have one."""
    chain, key = serving.get("certificate", ""), serving.get("private_key", "")
    wanted = found.tls == HostName.Tls.TERMINATE
    if (chain or key) and not wanted:
        raise Invalid(
            "Only TLS that ends here has a certificate; the VM has its own otherwise.",
            field="certificate",
            remedy="Have TLS ended here, or leave certificate and key out.",
        )
    if wanted and (chain or key or found.own_certificate is None):
        return certificates.parse(chain, key, found.name, timezone.now())
    return None


def _keep(found: HostName, given: certificates.Given | None) -> None:
    """Store a certificate in place of the one before; what has no use any more goes."""
    if found.tls != HostName.Tls.TERMINATE:
        Certificate.objects.filter(host_name=found).delete()
    elif given is not None:
        store_certificate(found, given)


def _parse_port(port: int | None, field: str) -> int | None:
    if port is not None and not 1 <= port <= 65535:
        raise Invalid("A port is a number from 1 to 65535.", field=field)
    return port


def _parse_tls(tls: str) -> str:
    if tls not in HostName.Tls.values:
        raise Invalid(f"Use one of: {', '.join(HostName.Tls.values)}.", field="tls")
    return tls
