"""What the database and the files need before the panel can start.

Every part is done once and found done the next time. Run by `kvmweb.server.prepare`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from django.utils.crypto import get_random_string

from kvmweb.core.errors import KvmwebError
from kvmweb.host.config import ConfigError, load
from kvmweb.hosts.enrol import HostFolders, enrol, write_configuration
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor, create_token
from kvmweb.projects.models import ApiToken
from kvmweb.server.machine import addresses, host_name, outside
from kvmweb.server.places import BUILT_IMAGE, CHECKOUT, Places, write_secret
from vms.publish import publish, read_facts

OPERATOR = "admin"
IMAGE = "hello"
TOKEN_NAME = "script/server"  # noqa: S105  a name
TOKEN_HOURS = 1
_DESCRIPTION = "A tiny Linux that answers HTTP on port 80 and UDP echo on port 7."
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


def static_files(places: Places) -> None:
    """Collect the static files, if what they are made of changed since they were."""
    wanted = _fingerprint()
    target, stamp = places.state / "static", places.state / "static" / ".collected"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(mode=0o755)
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(wanted)


def _fingerprint() -> str:
    built = CHECKOUT / "static" / "dist" / ".kvmweb"
    parts = [built] if built.exists() else []
    return "\n".join(part.read_text() for part in [*parts, CHECKOUT / "requirements.txt"])


def operator(places: Places) -> dict[str, Any]:
    """The first operator; the password is said once and kept until it is changed."""
    user = User.objects.filter(is_superuser=True).order_by("pk").first()
    if user is not None:
        _forget_changed_password(user, places.initial_password)
        return {"operator": user.username, "password": ""}
    password = "-".join(get_random_string(5, _LETTERS) for _ in range(4))
    write_secret(places.initial_password, password)
    User.objects.create_superuser(OPERATOR, password=password)
    return {"operator": OPERATOR, "password": password}


def _forget_changed_password(user: User, file: Path) -> None:
    if file.exists() and not user.check_password(file.read_text().strip()):
        file.unlink()


def host(places: Places) -> dict[str, Any]:
    """This machine as a host, with its address and its configuration file."""
    found = outside()
    known = _known_host(places)
    warning = found.warning
    if known is None:
        row = enrol(host_name(), address=found.address)
    else:
        row, warning = known, _moved(known) or warning
    folders = HostFolders(places.state / "host", places.run, _libvirt_uri())
    broker = settings.CELERY_BROKER_URL
    write_configuration(row, places.host_config, broker=broker, folders=folders)
    default = row.public_addresses.first()
    return {"host": row.name, "address": str(default or found.address), "warning": warning}


def _known_host(places: Places) -> Host | None:
    try:
        name = load(places.host_config).name if places.host_config.exists() else host_name()
    except ConfigError:
        name = host_name()
    return Host.objects.filter(name=name, public_addresses__isnull=False).first()


def _libvirt_uri() -> str:
    return os.environ.get("KVMWEB_LIBVIRT_URI", "qemu:///system")


def _moved(row: Host) -> str:
    """A sentence when the machine no longer has the address the panel knows it by."""
    default = row.public_addresses.first()
    present = addresses()
    if default is None or default.address in present:
        return ""
    return (
        f"This machine no longer has the address {default.address}, where its forwards listen. "
        "Give it back to an interface, or change it in the panel under Admin, Public addresses."
    )


def builtin_image(places: Places) -> None:
    """The built-in image in the catalogue, in a copy of our own: the checkout may go or change."""
    facts = read_facts(BUILT_IMAGE)
    file = places.images / f"{IMAGE}-{facts.sha256[:12]}.qcow2"
    _copy(BUILT_IMAGE, file)
    publish(IMAGE, file, facts, description=_DESCRIPTION)


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    target.parent.mkdir(exist_ok=True)
    new = target.with_suffix(".new")
    shutil.copyfile(source, new)
    new.chmod(0o644)
    new.replace(target)


def token(username: str) -> str:
    """A token for the first job as this operator; it takes the place of the one before."""
    user = User.objects.get(username=username)
    ApiToken.objects.filter(user=user, name=TOKEN_NAME).delete()
    ends = timezone.now() + timedelta(hours=TOKEN_HOURS)
    _row, secret = create_token(Actor(user), name=TOKEN_NAME, expires_at=ends)
    return secret


def main() -> int:
    """Do all of it; the exit code is 1, with a sentence on standard error, when a part failed."""
    places = Places(Path(settings.STATE_DIR))
    os.umask(0o077)
    try:
        call_command("migrate", interactive=False, verbosity=0)
        static_files(places)
        answer = operator(places) | host(places)
        builtin_image(places)
        answer["token"] = token(answer["operator"])
    except (KvmwebError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(answer, sys.stdout)
    return 0
