"""What operators release of hosts, and what bridged networks are put on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor, audit
from networks.actions.lookup import named
from networks.models import Attachment, Network


def release_attachment(actor: Actor, *, host: UUID | str, interface: str, kind: str) -> Attachment:
    """Let all projects put guests on an interface of the host, as the host has it now."""
    with transaction.atomic():
        named(actor, Host, host, "host")
        found = get_for(actor.user, Host, host, write=True, lock=True)
        told = attachable(found, interface, kind)
        if told["refused"]:
            raise Conflict(
                f"Guests cannot be on {interface}: {told['refused']}.",
                field="interface",
                code="not_for_guests",
                remedy="Choose a bridge that leads to the network outside.",
            )
        try:
            with transaction.atomic():
                made = Attachment.objects.create(host=found, interface=interface, kind=kind)
        except IntegrityError as error:
            raise Conflict(
                f"{interface} is released already.", field="interface", code="released_already"
            ) from error
        audit(actor, "attachment.release", made, project=None, host=str(found), kind=kind)
    return made


def withdraw_attachment(actor: Actor, uuid: UUID | str) -> Attachment:
    """Let nobody put guests on it any more."""
    with transaction.atomic():
        gone = get_for(actor.user, Attachment, uuid, write=True, lock=True)
        if (count := gone.networks.count()) > 0:
            raise Conflict(
                f"{count} network{'s are' if count > 1 else ' is'} on {gone.interface}.",
                code="attachment_in_use",
                remedy="Delete what is there first.",
            )
        audit(actor, "attachment.withdraw", gone, project=None, host=str(gone.host))
        gone.delete()
    return gone


def attachable(host: Host, interface: str, kind: str) -> dict[str, Any]:
    """What the host says of one of its interfaces; Invalid where it has none such."""
    for told in host.facts.get("attachables", ()):
        if (told["interface"], told["kind"]) == (interface, kind):
            return dict(told)
    raise Invalid(
        f"The host reports no {kind} {interface}.",
        field="interface",
        code="no_such_interface",
        remedy="Choose one that it reports; what was made just now is reported within a minute.",
    )


def put_on(
    network: Network, actor: Actor, attachment: UUID | str | None, *, guarded: bool | None
) -> None:
    """Put a bridged network that is being made on what was released of its host."""
    if not attachment:
        raise Invalid(
            "A bridged network is on an interface of the host.",
            field="attachment",
            code="no_such_attachment",
            remedy="Name one that operators have released.",
        )
    try:
        found = get_for(actor.user, Attachment, attachment, lock=True)
    except NotFound as error:
        raise Invalid(error.message, field="attachment", code="no_such_attachment") from error
    if found.host_id != network.host_id:
        raise Invalid("This interface is on another host.", field="attachment")
    if guarded and not found.is_filtered:
        raise Invalid(
            "Guests on an uplink by macvtap pass the host by, so it cannot close them.",
            field="guarded",
            remedy="Choose a bridge, or leave them open.",
        )
    network.attachment = found
    network.guarded = found.is_filtered if guarded is None else guarded


def host_of(actor: Actor, attachment: UUID | str | None) -> UUID | None:
    """The host that an attachment is on, if there is one that the actor may see."""
    if not attachment:
        return None
    try:
        return get_for(actor.user, Attachment, attachment).host.uuid
    except NotFound as error:
        raise Invalid(error.message, field="attachment", code="no_such_attachment") from error
