"""Small pictures of guests: made from what QEMU writes, kept for those who may see the VM."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.hosts.models import Host
from vms.host.console.picture import WIDTH, thumbnail
from vms.models import Picture, Vm
from vms.pictures import record


def points_of(png: bytes) -> list[bytes]:
    """Rows of points, read as RFC 2083 says."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        (check,) = struct.unpack_from(">I", png, place + 8 + length)
        assert check == zlib.crc32(kind + data)
        chunks[kind] = data
        place += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(chunks[b"PLTE"]) == 3 * 256
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == height * (1 + width)
    return [rows[row * (1 + width) + 1 : (row + 1) * (1 + width)] for row in range(height)]


@pytest.mark.pure
@given(st.integers(1, 2000), st.integers(1, 30))
def test_a_picture_has_points_of_the_screen_and_is_no_wider_than_it_may_be(
    width: int, height: int
) -> None:
    screen = b"".join(bytes([y]) + bytes(width - 1) for y in range(height))
    rows = points_of(thumbnail(width, height, screen))
    step = max(1, -(-width // WIDTH))
    assert len(rows[0]) == -(-width // step) <= WIDTH
    assert [row[0] for row in rows] == list(range(0, height, step))


PNG = thumbnail(1, 1, b"x")


@pytest.mark.db
def test_a_picture_is_for_those_who_may_see_its_vm_while_it_runs(
    vm: Vm, alice: User, bob: User, mallory: User, client: Client
) -> None:
    cache.clear()
    sent = {"vm": str(vm.uuid), "at": timezone.now().isoformat(), "png": b64encode(PNG).decode()}
    stranger = Host.objects.create(name="h2")
    record(stranger, sent)
    record(vm.host, sent | {"png": b64encode(b"<svg onload=x>").decode()})
    assert not Picture.objects.exists()
    record(vm.host, sent)
    record(vm.host, sent)
    for who, status in ((alice, 200), (bob, 200), (mallory, 404)):
        client.force_login(who)
        answer = client.get(f"/vms/{vm.uuid}/picture/")
        assert answer.status_code == status
        assert (answer.content == PNG) == (status == 200)
    Vm.objects.update(power_state="off")
    client.force_login(alice)
    assert client.get(f"/vms/{vm.uuid}/picture/")["Content-Type"] == "image/svg+xml"
