"""The panel's names: rows to the spec for their host, and what it answered to rows; and which names
the panel answers to.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError
from django.http.request import split_domain_port, validate_host

from kvmweb.host.progress import Outcome
from kvmweb.jobs.subjects import Destination, SubjectKind
from networks import certificates
from networks.host.spec import PanelSpec
from networks.models import PanelName

log = logging.getLogger(__name__)

# For browsers that took the certificate of the panel's name; not for names of others below it.
_STRICT = (b"strict-transport-security", b"max-age=2592000")

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def build_spec(panel: PanelName) -> dict[str, Any]:
    """The newest generation of this name as data."""
    own = panel.certificate
    spec = PanelSpec(
        subject=str(panel.uuid),
        epoch=settings.KVMWEB_EPOCH,
        generation=panel.generation,
        present=panel.present,
        owner=f"panel{panel.pk}",
        name=panel.name,
        public_address=panel.public_address.address,
        address=panel.address,
        port=panel.port,
        certificate=own.fingerprint[:32],
        sealed_pem=certificates.for_host(own.chain, own.concealed_key, panel.host.key),
    )
    return msgspec.to_builtins(spec)  # type: ignore[no-any-return]


def record(panel: PanelName, outcome: Outcome) -> None:
    """Note what the host applied; a name that was only waiting to disappear from it goes now."""
    if not panel.present and outcome.generation >= panel.generation:
        panel.delete()
        return
    panel.applied_generation = max(panel.applied_generation, outcome.generation)
    panel.save(update_fields=["applied_generation"])


KIND = SubjectKind(
    model=PanelName,
    worker="net",
    task="networks.apply_panel",
    destination=lambda panel: Destination(panel.host.name, panel.host.key),
    build_spec=build_spec,
    record=record,
)


def answering_to_its_names(application: App) -> App:
    """Let requests for a name that an operator gave the panel pass Django's check of names, at once
    and without a restart, for as long as it has it: whoever asks for another one is refused as
    ever. A name that was given up may be somebody else's the next day. Who came to such a name by
    TLS is told to come by TLS alone (RFC 6797)."""
    added: set[str] = set()

    async def answered(scope: dict[str, Any], receive: Any, send: Any) -> None:
        name, allowed = _asked(scope), settings.ALLOWED_HOSTS
        if name and (name in added or not validate_host(name, allowed)):
            if await _is_ours(name):
                added.add(name)
                _allow(name)
            elif name in added:
                added.discard(name)
                _refuse(name)
        secure = name in added and scope.get("scheme") == "https"
        await application(scope, receive, _strictly(send) if secure else send)

    return answered


def _strictly(send: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if _STRICT[0] not in {name.lower() for name, _ in headers}:
                headers.append(_STRICT)
            message = {**message, "headers": headers}
        await send(message)

    return sent


def _allow(name: str) -> None:
    if name not in settings.ALLOWED_HOSTS:
        settings.ALLOWED_HOSTS.append(name)
        log.info("panel_answers_to name=%s", name)


def _refuse(name: str) -> None:
    if name in settings.ALLOWED_HOSTS:
        settings.ALLOWED_HOSTS.remove(name)
        log.info("panel_no_longer_answers_to name=%s", name)


def _asked(scope: dict[str, Any]) -> str:
    hosts = [value for key, value in scope.get("headers", ()) if key == b"host"]
    return split_domain_port(hosts[0].decode("latin-1"))[0] if hosts else ""


async def _is_ours(name: str) -> bool:
    return bool(await database_sync_to_async(_is_given)(name))


def _is_given(name: str) -> bool:
    try:
        return PanelName.objects.filter(present=True, name=name).exists()
    except DatabaseError:
        return name in settings.ALLOWED_HOSTS
