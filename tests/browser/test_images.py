"""Images in a real browser: a file is uploaded, breaks off, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from kvmweb.projects.actions import Actor
from tests.browser.conftest import Panel, Web
from tests.lab.broker import wait_until
from vms.actions import NewImage, receive, upload_image
from vms.models import Image, library

pytestmark = [pytest.mark.browser, pytest.mark.timeout(200)]

MIB = 1 << 20


@pytest.fixture
def content(tmp_path: Path, settings: LazySettings) -> Path:
    """A file of more than one part, for a library of its own."""
    settings.KVMWEB_IMAGES = str(tmp_path / "images")
    file = tmp_path / "disk.raw"
    file.write_bytes(bytes(range(256)) * (20 * MIB // 256))
    return file


def uploaded(image: Image) -> bytes:
    return library().upload(str(image.uuid)).read_bytes()


def test_a_file_is_uploaded_from_the_form(panel: Panel, alice: User, content: Path) -> None:
    panel.log_in(alice)
    panel.open("/images/upload/")
    page = panel.page
    page.get_by_label("File on this computer").set_input_files(content)
    page.get_by_label("Name", exact=True).fill("my-disk")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url(lambda url: "/images/upload/" not in url)
    image = Image.objects.get()
    assert image.job is not None
    assert uploaded(image) == content.read_bytes()
    page.get_by_text("Importing").first.wait_for()
    assert panel.complaints == []


def test_a_refusal_is_said_beside_the_file(panel: Panel, alice: User, content: Path) -> None:
    panel.log_in(alice)
    panel.open("/images/upload/")
    page = panel.page
    page.get_by_label("File on this computer").set_input_files(content)
    page.get_by_label("Name", exact=True).fill("my-disk")
    page.get_by_label("Checksum").fill("abc")
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("This is no SHA-256 or SHA-512.").wait_for()
    assert not Image.objects.exists()


def test_an_upload_that_broke_off_goes_on_from_there(
    panel: Panel, web: Web, alice: User, content: Path
) -> None:

    image = upload_image(Actor(alice), NewImage(name="half"), upload_bytes=20 * MIB)
    receive(Actor(alice), image.uuid, offset=0, chunks=[content.read_bytes()[: 5 * MIB]])
    panel.log_in(alice)
    panel.open(f"/images/{image.uuid}/")
    panel.page.get_by_label("File", exact=True).set_input_files(content)
    wait_until(lambda: Image.objects.get().job is not None, what="the upload")
    assert uploaded(image) == content.read_bytes()
