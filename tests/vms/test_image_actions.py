"""Images as people ask for them: in, changed, replaced, deprecated and out again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from kvmweb.core.choices import State
from kvmweb.core.envelope import open_, seal
from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.host.progress import Outcome
from kvmweb.hosts.models import Host
from kvmweb.hosts.tasks import record
from kvmweb.jobs.own import LIBRARY, own_key
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent, Project
from networks.models import Network
from tests.cast import fail_job, finish_job, report, start_job
from vms.actions import (
    NewImage,
    NewVm,
    create_vm,
    delete_image,
    deprecate_image,
    forget_uploads,
    import_image,
    import_listed,
    receive,
    upload_image,
)
from vms.catalogue import catalogue, listed
from vms.models import GIB, Image, Vm, library
from vms.publish import ImageFacts, publish
from vms.spec_from_images import build_spec
from vms.spec_from_rows import build_spec as build_vm_spec
from vms.tickets import image_url

pytestmark = [pytest.mark.db, pytest.mark.django_db]

URL = "https://images.example.org/debian.qcow2"
DIGEST = "a" * 64


@pytest.fixture(autouse=True)
def shelf(settings: Any, tmp_path: Path) -> Path:
    settings.KVMWEB_IMAGES = str(tmp_path / "images")
    library().make()
    return tmp_path / "images"


def arrive(image: Image, sha256: str = DIGEST) -> Image:
    """The image as it is once the library has it."""
    image.refresh_from_db()
    facts = {"sha256": sha256, "size_bytes": 5, "virtual_size_bytes": GIB}
    running = start_job(image.job)
    outcome = Outcome(ok=True, generation=running.generation or 0, observed=facts)
    report(running, outcome=outcome)
    return Image.objects.get(pk=image.pk)


def bring(actor: Actor, **about: Any) -> Image:
    about = {"name": "debian", "checksum": DIGEST} | about
    return import_image(actor, NewImage(**about), url=URL)


def test_an_import_is_a_job_of_the_library(actor: Actor, network: Network) -> None:
    image = bring(actor, os="Debian 12")
    assert image.state is State.IMPORTING
    running = start_job(image.job)
    assert running.host_name == LIBRARY
    spec = build_spec(image)
    assert (spec["url"], spec["checksum"]) == (URL, f"sha256:{DIGEST}")
    assert {"10.60.0.0/24", "198.51.100.11"} <= set(spec["reach"]["forbidden"])
    facts = {"sha256": DIGEST, "size_bytes": 5, "virtual_size_bytes": 3 * GIB}
    report(running, outcome=Outcome(ok=True, generation=1, observed=facts))
    image.refresh_from_db()
    assert (image.state, image.min_disk_gib) == (State.READY, 3)
    assert AuditEvent.objects.get(action="image.import").data["url"] == URL


def test_reports_of_the_library_are_sealed_by_its_own_key(actor: Actor, host: Host) -> None:
    running = start_job(bring(actor).job)
    facts = {"sha256": DIGEST, "size_bytes": 5, "virtual_size_bytes": GIB}
    outcome = {"ok": True, "generation": 1, "observed": facts}
    payload = {"job": str(running.uuid), "attempt": 1, "steps": [], "outcome": outcome}
    for name, key in ((LIBRARY, host.key), (host.name, host.key), (LIBRARY, "0" * 64)):
        record(dict(seal(name, key, payload)))
        assert not Image.objects.get().is_ready
    record(dict(seal(LIBRARY, own_key(LIBRARY), payload)))
    assert Image.objects.get().is_ready
    assert open_(own_key(LIBRARY), seal(LIBRARY, own_key(LIBRARY), payload)) == payload


@pytest.mark.parametrize(
    ("about", "url", "field"),
    [
        ({"checksum": ""}, URL, "checksum"),
        ({"checksum": "abc"}, URL, "checksum"),
        ({"name": "No Name"}, URL, "name"),
        ({}, "ftp://images.example.org/x", "url"),
        ({}, "file:///etc/shadow", "url"),
    ],
)
def test_what_is_wrong_is_named(about: dict[str, Any], url: str, field: str, actor: Actor) -> None:
    with pytest.raises(Invalid) as caught:
        import_image(actor, NewImage(**({"name": "x", "checksum": DIGEST} | about)), url=url)
    assert caught.value.field == field
    assert not Image.objects.exists()


def test_deleting_what_is_being_imported_cancels_that(
    actor: Actor, django_capture_on_commit_callbacks: Any
) -> None:
    image = bring(actor)
    with django_capture_on_commit_callbacks(execute=True):
        assert delete_image(actor, bring(actor, name="other").uuid).present is False
    assert not list(library().incoming.glob("*.stop")), "its job has not begun"
    running = start_job(image.job)
    with django_capture_on_commit_callbacks(execute=True):
        deleted = delete_image(actor, image.uuid)
    assert library().stopped(str(image.uuid)).exists()
    gave_way = Outcome(ok=False, generation=1, code="overtaken", message="It was cancelled.")
    report(running, outcome=gave_way)
    running.refresh_from_db()
    assert running.status == "cancelled"
    finish_job(deleted.job)
    assert not Image.objects.filter(pk=image.pk).exists()


def test_operators_see_whether_the_library_works(client: Client, olga: User, alice: User) -> None:
    client.force_login(olga)
    assert "has not been seen yet" in client.get("/images/").content.decode()
    library().make()
    library().pulse.touch()
    assert "image library was seen" in client.get("/images/").content.decode()
    os.utime(library().pulse, (0, 0))
    assert "images wait" in client.get("/images/").content.decode()
    client.force_login(alice)
    assert "image library" not in client.get("/images/").content.decode()


def test_an_upload_comes_in_parts_and_goes_on_where_it_stopped(actor: Actor) -> None:
    image = upload_image(actor, NewImage(name="mine"), upload_bytes=6)
    assert (image.state, image.job) == (State.UPLOADING, None)
    receive(actor, image.uuid, offset=0, chunks=[b"ab", b"c"])
    with pytest.raises(Conflict, match="3 bytes have arrived"):
        receive(actor, image.uuid, offset=0, chunks=[b"abc"])
    with pytest.raises(Invalid, match="more than the 6 bytes"):
        receive(actor, image.uuid, offset=3, chunks=[b"defg"])
    assert image.received_bytes == 3
    done = receive(actor, image.uuid, offset=3, chunks=[b"def"])
    assert library().upload(str(image.uuid)).read_bytes() == b"abcdef"
    assert (done.state, done.received_bytes) == (State.IMPORTING, 6)
    with pytest.raises(Conflict, match="waits for no upload"):
        receive(actor, image.uuid, offset=6, chunks=[])


def test_too_little_space_refuses_with_the_figures(actor: Actor, settings: Any) -> None:
    settings.KVMWEB_IMAGE_PROJECT = 1
    with pytest.raises(Conflict, match="take 0 B of the"):
        upload_image(actor, NewImage(name="a"), upload_bytes=2 * GIB)
    settings.KVMWEB_IMAGE_SPARE = 1 << 20
    with pytest.raises(Conflict, match="0 B left for new images; 1"):
        upload_image(actor, NewImage(name="a"), upload_bytes=1024)
    with pytest.raises(Conflict) as caught:
        bring(actor)
    assert caught.value.code == "disk_full"


def test_public_images_are_for_operators_to_make(actor: Actor, olga: User, bob: User) -> None:
    with pytest.raises(Forbidden):
        bring(actor, public=True)
    public = arrive(bring(Actor(olga), public=True))
    assert public.project is None
    assert Image.objects.visible_to(bob).filter(pk=public.pk).exists()
    with pytest.raises(Forbidden):
        delete_image(actor, public.uuid)


def test_others_do_not_see_a_projects_images(
    actor: Actor, project: Project, bob: User, mallory: User
) -> None:
    image = bring(actor)
    with pytest.raises(Forbidden):
        deprecate_image(Actor(bob), image.uuid)
    with pytest.raises(NotFound):
        receive(Actor(mallory), image.uuid, offset=0, chunks=[])


def test_a_new_version_takes_the_place_of_the_old_one(actor: Actor, network: Network) -> None:
    first = arrive(bring(actor, os="Debian 12", min_memory_mib=256))
    vm = create_vm(actor, NewVm(name="a", network=network.uuid, image="debian"))
    second = import_image(actor, NewImage(replaces=first.uuid, checksum=DIGEST), url=URL)
    assert (second.name, second.version, second.os) == ("debian", 2, "Debian 12")
    first.refresh_from_db()
    assert first.is_usable, "until the new one is there"
    second = arrive(second, "b" * 64)
    first.refresh_from_db()
    assert first.state is State.DEPRECATED
    newer = create_vm(actor, NewVm(name="b", network=network.uuid, image="debian"))
    assert (vm.image, newer.image) == (first, second)
    with pytest.raises(Conflict, match="deprecated"):
        create_vm(actor, NewVm(name="c", network=network.uuid, image=first.uuid))
    with pytest.raises(Conflict, match="already"):
        bring(actor)


def test_an_image_in_use_stays_and_names_only_who_the_asker_may_see(
    vm: Vm, olga: User, actor: Actor, mallory: User
) -> None:
    with pytest.raises(Conflict, match=r"Disks of VMs stand on image tiny: web-1\."):
        delete_image(Actor(olga), vm.image.uuid)
    own = Project.objects.get(memberships__user=mallory)
    Image.objects.filter(pk=vm.image.pk).update(project=own)
    with pytest.raises(Conflict) as caught:
        delete_image(Actor(mallory), vm.image.uuid)
    assert "VMs of other projects" in caught.value.message
    assert "web-1" not in caught.value.message


def test_an_image_goes_when_the_library_has_let_it_go(actor: Actor) -> None:
    image = arrive(bring(actor))
    gone = delete_image(actor, image.uuid)
    assert gone.state is State.DELETING
    report(start_job(gone.job), outcome=Outcome(ok=True, generation=2))
    assert not Image.objects.exists()


def test_a_failed_import_says_why(actor: Actor) -> None:
    image = bring(actor)
    fail_job(image.job, "Its checksum is wrong.", code="image_checksum")
    image.refresh_from_db()
    assert image.state is State.ATTENTION
    assert delete_image(actor, image.uuid).job != image.job


def test_vms_need_an_image_that_is_there_and_starts_here(
    actor: Actor, network: Network, image: Image
) -> None:
    def create(wanted: Image, **more: Any) -> Vm:
        return create_vm(actor, NewVm(name="a", network=network.uuid, image=wanted.uuid, **more))

    with pytest.raises(Conflict, match="not there yet"):
        create(bring(actor))
    Image.objects.filter(pk=image.pk).update(firmware="uefi")
    with pytest.raises(Conflict, match="UEFI"):
        create(image)
    Image.objects.filter(pk=image.pk).update(firmware="both", speaks_cloud_init=False)
    with pytest.raises(Invalid, match="cloud-init"):
        create(image, user_data="#!/bin/sh\n")
    assert build_vm_spec(create(image))["seed"] is None


def test_the_catalogue_is_at_its_publishers_or_at_a_mirror(actor: Actor, settings: Any) -> None:
    assert all(entry.url.startswith("https://") and entry.checksum_url for entry in catalogue())
    settings.KVMWEB_IMAGE_MIRROR = "http://mirror.example/images/"
    entry = listed("debian-12")
    assert entry.url.startswith("http://mirror.example/images/cloud.debian.org/images/cloud/")
    image = import_listed(actor, entry)
    assert (image.name, image.default_user, image.firmware) == ("debian-12", "debian", "both")


def test_publishing_other_content_makes_a_version(image: Image) -> None:
    facts = ImageFacts("c" * 64, 1, GIB, 64, "root")
    newer = publish("tiny", Path("/x"), facts)
    assert publish("tiny", Path("/x"), facts) == newer
    image.refresh_from_db()
    assert (newer.version, image.state, newer.state) == (2, State.DEPRECATED, State.READY)


def fetch(client: Client, url: str) -> Any:
    return client.get(url.removeprefix("http://127.0.0.1:8000"))


def test_hosts_fetch_an_image_by_its_sealed_address(
    actor: Actor, network: Network, client: Client, settings: Any
) -> None:
    image = arrive(bring(actor))
    library().image(str(image.uuid)).write_bytes(b"QFI\xfb" * 1000)
    vm = create_vm(actor, NewVm(name="a", network=network.uuid, image=image.uuid))
    url = build_vm_spec(vm)["disks"][0]["image"]["source"]
    assert url.startswith(settings.KVMWEB_URL)
    answer = fetch(client, url)
    assert (answer.status_code, answer["Content-Length"]) == (200, "4000")
    assert b"".join(answer) == b"QFI\xfb" * 1000
    assert fetch(client, url[:-2] + "x/").status_code == 403


def test_an_address_is_good_for_a_day_and_while_host_and_image_are_there(
    actor: Actor, host: Host, client: Client
) -> None:
    image = arrive(bring(actor))
    library().image(str(image.uuid)).write_bytes(b"x")
    url = image_url(image, host)
    assert fetch(client, url).status_code == 200
    delete_image(actor, image.uuid)
    assert fetch(client, url).status_code == 403
    Image.objects.update(present=True)
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert fetch(client, url).status_code == 403


def test_what_arrives_after_an_image_was_deleted_leaves_no_file(actor: Actor) -> None:
    image = upload_image(actor, NewImage(name="mine"), upload_bytes=6)

    def parts() -> Iterator[bytes]:
        yield b"abc"
        delete_image(actor, image.uuid)

    with pytest.raises(NotFound):
        receive(actor, image.uuid, offset=0, chunks=parts())
    assert not list(library().incoming.iterdir())


def test_an_upload_that_nobody_goes_on_with_is_removed_after_a_week(actor: Actor) -> None:
    old = upload_image(actor, NewImage(name="old"), upload_bytes=6)
    receive(actor, old.uuid, offset=0, chunks=[b"abc"])
    with time_machine.travel(timezone.now() + timedelta(days=8), tick=False):
        fresh = upload_image(actor, NewImage(name="fresh"), upload_bytes=6)
        forget_uploads()
        forget_uploads()
    old.refresh_from_db()
    fresh.refresh_from_db()
    assert (old.state, fresh.state) == (State.DELETING, State.UPLOADING)
