"""SSH keys of one's own account: kept, chosen for new VMs, removed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.projects.actions import Actor, audit
from vms.guest import fingerprint, parse_ssh_keys
from vms.models import SshKey

LONGEST_NAME = 63
MOST_KEPT = 50


def add_key(actor: Actor, *, public_key: str, name: str = "") -> SshKey:
    """Keep a public key; without a name it is called as its comment says."""
    lines = parse_ssh_keys([public_key])
    if len(lines) != 1:
        raise Invalid("Paste one public key.", field="public_key", code="invalid_ssh_key")
    label = _name(name or lines[0].partition(" ")[2].partition(" ")[2])
    mine = SshKey.objects.visible_to(actor.user)
    with transaction.atomic():
        if mine.filter(fingerprint=fingerprint(lines[0])).exists():
            raise Conflict("You keep this key already.", field="public_key", code="key_taken")
        if mine.count() >= MOST_KEPT:
            raise Conflict(f"At most {MOST_KEPT} keys are kept.", code="too_many_keys")
        key = SshKey.objects.create(
            user=actor.user, name=label, public_key=lines[0], fingerprint=fingerprint(lines[0])
        )
        audit(actor, "ssh_key.add", key, project=None, fingerprint=key.fingerprint)
    return key


def remove_key(actor: Actor, uuid: UUID | str) -> SshKey:
    """Forget a key; VMs that were made with it go on admitting it."""
    with transaction.atomic():
        key = get_for(actor.user, SshKey, uuid, write=True, lock=True)
        audit(actor, "ssh_key.remove", key, project=None, fingerprint=key.fingerprint)
        key.delete()
    return key


def chosen_keys(actor: Actor, uuids: Sequence[UUID | str], pasted: Sequence[str]) -> list[str]:
    """The kept keys of these UUIDs and the pasted ones, each once. Raises Invalid."""
    wanted = {str(uuid) for uuid in uuids}
    kept = {str(key.uuid): key.public_key for key in SshKey.objects.visible_to(actor.user)}
    if wanted - kept.keys():
        raise Invalid("You keep no such key.", field="keys", code="no_such_key")
    chosen = [text for uuid, text in kept.items() if uuid in wanted]
    once = {fingerprint(key): key for key in parse_ssh_keys([*chosen, *pasted])}
    return list(once.values())


def _name(text: str) -> str:
    label = text.strip()[:LONGEST_NAME].strip() or "key"
    if not label.isprintable():
        raise Invalid("A name has printable characters alone.", field="name", code="invalid_name")
    return label
