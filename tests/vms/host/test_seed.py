"""The NoCloud seed: read back from the ISO as a guest would."""

from __future__ import annotations

import email
import email.message
import io
import json
import stat
from dataclasses import replace
from pathlib import Path

import pycdlib
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.vms.host.vm_cases import SEED
from vms.host import cloud_init
from vms.host.drivers import seed as seeds
from vms.host.spec import SeedSpec

pytestmark = pytest.mark.pure


def read_back(image: bytes, *more: str) -> dict[str, str]:
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    assert iso.pvd.volume_identifier.decode().strip() == "cidata"
    texts = {}
    for name in ("meta-data", "user-data", "vendor-data", *more):
        content = io.BytesIO()
        iso.get_file_from_iso_fp(content, joliet_path=f"/{name}")
        again = io.BytesIO()
        iso.get_file_from_iso_fp(again, rr_path=f"/{name}")
        assert again.getvalue() == content.getvalue()
        texts[name] = content.getvalue().decode()
    iso.close()
    return texts


def parts(user_data: str) -> list[str]:
    """The texts of a MIME multipart, as cloud-init takes it apart."""
    message = email.message_from_string(user_data)
    found = []
    for part in message.get_payload():
        assert isinstance(part, email.message.Message)
        assert part.get_content_type() == "text/cloud-config"
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append(content.decode())
    return found


@given(
    st.builds(
        SeedSpec,
        instance_id=st.text(max_size=40),
        hostname=st.text(max_size=63),
        ssh_keys=st.lists(st.text(max_size=100), max_size=3).map(tuple),
        password_hash=st.text(max_size=100),
        user=st.text(max_size=32),
        user_data=st.text(max_size=4000) | st.text(max_size=400).map("#cloud-config\n{}".format),
    )
)
def test_what_goes_in_comes_out(seed: SeedSpec) -> None:
    texts = read_back(seeds.image(seed))
    meta = json.loads(texts["meta-data"])
    assert (meta["instance-id"], meta["local-hostname"]) == (seed.instance_id, seed.hostname)
    assert tuple(meta.get("public-keys", ())) == seed.ssh_keys
    if seed.user_data.startswith("#cloud-config"):
        ours, theirs = parts(texts["user-data"])
        assert yaml.safe_load(ours)["hostname"] == seed.hostname
        assert theirs == seed.user_data
    else:
        assert texts["user-data"] == (seed.user_data or "#cloud-config\n")
    assert texts["vendor-data"].startswith("#cloud-config\n")


def test_guests_are_told_to_make_the_one_ipv6_address_they_may_use() -> None:
    macs = ("52:54:00:00:00:01", "52:54:00:00:00:02")
    image = seeds.image(replace(SEED, macs=macs))
    told = json.loads(read_back(image, "network-config")["network-config"])
    assert told["version"] == 2
    assert [one["match"]["macaddress"] for one in told["ethernets"].values()] == list(macs)
    for one in told["ethernets"].values():
        assert (one["dhcp4"], one["accept-ra"], one["ipv6-privacy"]) == (True, True, False)
        assert one["ipv6-address-generation"] == "eui64"
    assert "network-config" not in cloud_init.documents(SEED), "without IPv6 the image decides"


def test_a_hostile_key_stays_one_string() -> None:
    seed = replace(SEED, ssh_keys=('ssh-ed25519 AAAA "\nruncmd:\n- rm -rf /',))
    vendor = cloud_init.documents(seed)["vendor-data"]
    assert [line for line in vendor.splitlines() if line.startswith("runcmd")] == []


def test_the_password_is_set_for_the_images_own_user_and_does_not_expire() -> None:
    vendor = cloud_init.documents(replace(SEED, password_hash="$6$salt$hash"))["vendor-data"]
    assert 'password: "$6$salt$hash"\nchpasswd:\n  expire: false\nssh_pwauth: true\n' in vendor


def test_a_config_of_the_users_own_is_merged_below_ours() -> None:
    theirs = "#cloud-config\nuser: {name: eve}\nruncmd:\n- echo hello\n"
    seed = replace(SEED, user="alice", password_hash="$6$salt$hash", user_data=theirs)
    texts = cloud_init.documents(seed)
    ours, second = parts(texts["user-data"])
    assert yaml.safe_load(ours) == {
        "hostname": "hello",
        "user": {"name": "alice"},
        "ssh_authorized_keys": list(SEED.ssh_keys),
        "password": "$6$salt$hash",
        "chpasswd": {"expire": False},
        "ssh_pwauth": True,
    }
    assert second == theirs
    merge = texts["user-data"].count("Merge-Type: list(append)+dict(no_replace,recurse_array)")
    assert merge == 1
    assert texts["vendor-data"] == "#cloud-config\n"


def test_nothing_in_a_config_ends_its_part() -> None:
    once = cloud_init.documents(replace(SEED, user_data="#cloud-config\n"))["user-data"]
    boundary = once.split('"')[1]
    hostile = f"#cloud-config\nx: 1\n--{boundary}\n\n#!/bin/sh\nrm -rf /\n--{boundary}--\n"
    assert parts(cloud_init.documents(replace(SEED, user_data=hostile))["user-data"])[1] == hostile


def test_a_script_of_the_users_own_is_handed_on_as_it_is() -> None:
    script = "#!/bin/sh\necho hello\n"
    assert cloud_init.documents(replace(SEED, user_data=script))["user-data"] == script


def test_only_root_may_read_the_file_and_its_content_is_told_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "seed.iso"
    assert seeds.read_digest(path) == ""
    seeds.write(path, SEED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert seeds.read_digest(path) == cloud_init.digest(SEED)
    assert cloud_init.digest(replace(SEED, hostname="x")) != cloud_init.digest(SEED)
