"""Keys that people keep, passwords told once, and what a new VM is told of both."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.test import Client
from django.urls import reverse
from passlib.hash import sha512_crypt

from kvmweb.api.models import KeptAnswer
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.models import Network
from tests.kvmweb.api.conftest import Program
from tests.refusals import refused
from vms.actions import NewVm, add_key, create_vm, remove_key
from vms.models import Image, SshKey, Vm
from vms.spec_from_rows import build_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def public_key(number: int = 1, comment: str = "alice@laptop") -> str:
    blob = b"\0\0\0\x0bssh-ed25519" + bytes([number]) * 36
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".strip()


def page_of(network: Network, image: Image, **data: Any) -> dict[str, Any]:
    usual = {
        "name": "db-1",
        "image": str(image.uuid),
        "vcpus": "1",
        "memory_mib": "512",
        "network": str(network.uuid),
        "forwards-TOTAL_FORMS": "0",
        "forwards-INITIAL_FORMS": "0",
    }
    return usual | data


def test_a_kept_key_is_called_by_its_comment_and_kept_once(actor: Actor, mallory: User) -> None:
    key = add_key(actor, public_key=public_key())
    assert key.name == "alice@laptop"
    assert key.fingerprint.startswith("SHA256:")
    with refused(Conflict, "public_key", code="key_taken"):
        add_key(actor, public_key=public_key(comment="again"))
    assert add_key(Actor(mallory), public_key=public_key(comment="")).name == "key"
    assert set(AuditEvent.objects.values_list("action", flat=True)) == {"ssh_key.add"}


@pytest.mark.parametrize("text", ["", "hello", f"{public_key()}\n{public_key(2)}"])
def test_what_is_not_one_key_is_not_kept(actor: Actor, text: str) -> None:
    with pytest.raises(Invalid):
        add_key(actor, public_key=text)
    assert not SshKey.objects.exists()


def test_a_vm_takes_chosen_keys_and_pasted_ones_each_once(
    actor: Actor, network: Network, image: Image
) -> None:
    kept = [add_key(actor, public_key=public_key(number)) for number in (1, 2)]
    wanted = NewVm(
        name="db-1",
        network=network.uuid,
        image=image.uuid,
        keys=[kept[0].uuid],
        ssh_keys=[f"{public_key(1, 'same')}\n{public_key(3)}"],
        login_user="alice",
        password="correct horse",
    )
    vm = create_vm(actor, wanted)
    remove_key(actor, kept[0].uuid)
    seed = build_spec(vm)["seed"]
    assert [key.split()[1] for key in seed["ssh_keys"]] == [
        public_key(1).split()[1],
        public_key(3).split()[1],
    ]
    assert seed["user"] == vm.login == "alice"
    assert sha512_crypt.verify("correct horse", seed["password_hash"])


def test_nobody_takes_anothers_keys(
    actor: Actor, olga: User, network: Network, image: Image
) -> None:
    theirs = add_key(Actor(olga), public_key=public_key())
    wanted = NewVm(name="x", network=network.uuid, image=image.uuid, keys=[theirs.uuid])
    with refused(Invalid, "keys", code="no_such_key"):
        create_vm(actor, wanted)
    with refused(NotFound):
        remove_key(actor, theirs.uuid)
    mine = add_key(actor, public_key=public_key())
    with refused(NotFound):
        remove_key(Actor(olga), mine.uuid)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ssh_keys", [public_key()]), ("login_user", "alice"), ("password", "correct horse")],
)
def test_an_image_without_cloud_init_is_asked_for_nothing_it_would_ignore(
    actor: Actor, network: Network, image: Image, field: str, value: Any
) -> None:
    Image.objects.update(speaks_cloud_init=False)
    wanted: dict[str, Any] = {"name": "x", "network": network.uuid, "image": image.uuid}
    with refused(Invalid, field, code="no_cloud_init"):
        create_vm(actor, NewVm(**wanted, **{field: value}))


def everything_kept() -> str:
    """All that the database holds of VMs, jobs, audit and answers."""
    return "".join(
        serializers.serialize("json", model.objects.all())
        for model in (Vm, Job, AuditEvent, KeptAnswer)
    )


def test_the_page_chooses_all_keys_and_shows_a_made_password_once(
    client: Client, alice: User, actor: Actor, network: Network, image: Image
) -> None:
    kept = add_key(actor, public_key=public_key())
    client.force_login(alice)
    page = client.get(reverse("vm-new"))
    assert re.search(rf'value="{kept.uuid}"[^>]* checked', page.content.decode())
    data = page_of(network, image, keys=[str(kept.uuid)], generate_password="on")
    answer = client.post(reverse("vm-new"), data)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-store"
    vm = Vm.objects.get()
    made = re.search(r"[a-z2-9]{5}(-[a-z2-9]{5}){3}", answer.content.decode())
    assert made is not None
    assert sha512_crypt.verify(made[0], vm.password_hash)
    assert vm.ssh_keys == [public_key()]
    assert made[0] not in everything_kept() + str(dict(client.session))
    assert made[0] not in client.get(reverse("vm", args=[vm.uuid])).content.decode()


def test_the_page_refuses_two_passwords_and_does_not_send_one_back(
    client: Client, alice: User, network: Network, image: Image
) -> None:
    client.force_login(alice)
    data = page_of(network, image, generate_password="on", password="correct horse")
    answer = client.post(reverse("vm-new"), data)
    assert answer.status_code == 400
    assert b"not both" in answer.content
    assert b"correct horse" not in answer.content


def test_kept_keys_do_not_keep_an_image_without_cloud_init_from_being_used(
    client: Client, alice: User, actor: Actor, network: Network, image: Image
) -> None:
    Image.objects.update(speaks_cloud_init=False)
    kept = add_key(actor, public_key=public_key())
    client.force_login(alice)
    answer = client.post(reverse("vm-new"), page_of(network, image, keys=[str(kept.uuid)]))
    assert answer.status_code == 302
    assert Vm.objects.get().ssh_keys == []


def test_a_program_is_told_a_made_password_once(
    alice: User, network: Network, image: Image
) -> None:
    program = Program(alice)
    body = {
        "name": "db-1",
        "network": str(network.uuid),
        "image": str(image.uuid),
        "generate_password": True,
    }
    first = program.client.post(
        "/api/v1/vms/", body, format="json", headers={"Idempotency-Key": "k"}
    )
    again = program.client.post(
        "/api/v1/vms/", body, format="json", headers={"Idempotency-Key": "k"}
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert sha512_crypt.verify(first.data["password"], Vm.objects.get().password_hash)
    assert (again.data["id"], again.data["password"]) == (first.data["id"], None)
    assert first.data["password"] not in everything_kept()
    shown = program.get(f"vms/{first.data['id']}/").data
    assert shown["has_password"] is True
    assert "password" not in shown
