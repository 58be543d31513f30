"""The texts of a NoCloud seed, as cloud-init reads them. Pure.

https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html. What the panel sets goes
into the vendor-data and, for keys, into the meta-data too. A script of the user's own is handed on
as it is. A #cloud-config of their own would replace what the vendor says of the same setting; so it
is sent as the second part of a MIME multipart
(https://docs.cloud-init.io/en/latest/explanation/format.html) whose first is ours: their lists are
added to ours, and what ours says they do not say again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from vms.host.spec import SeedSpec

META_DATA = "meta-data"
USER_DATA = "user-data"
VENDOR_DATA = "vendor-data"
NETWORK_CONFIG = "network-config"
_CLOUD_CONFIG = "#cloud-config\n"


def documents(seed: SeedSpec) -> Mapping[str, str]:
    """Content by file name."""
    return {
        META_DATA: _meta_data(seed),
        USER_DATA: _user_data(seed),
        VENDOR_DATA: _CLOUD_CONFIG + ("" if _is_config(seed) else "".join(_vendor_lines(seed))),
        **({NETWORK_CONFIG: _network_config(seed.macs)} if seed.macs else {}),
    }


def digest(seed: SeedSpec) -> str:
    """What tells a seed from one with other content; sha256 in hex."""
    return hashlib.sha256(json.dumps(dict(documents(seed))).encode()).hexdigest()


def _is_config(seed: SeedSpec) -> bool:
    return seed.user_data.startswith("#cloud-config")


def _user_data(seed: SeedSpec) -> str:
    if not _is_config(seed):
        return seed.user_data or _CLOUD_CONFIG
    ours = f"{_CLOUD_CONFIG}hostname: {_quoted(seed.hostname)}\n{''.join(_vendor_lines(seed))}"
    boundary = "kvmweb-" + hashlib.sha256(f"{ours}\n{seed.user_data}".encode()).hexdigest()
    lines = [
        f'Content-Type: multipart/mixed; boundary="{boundary}"',
        "MIME-Version: 1.0",
        "",
        *_part(boundary, ours),
        *_part(boundary, seed.user_data, "Merge-Type: list(append)+dict(no_replace,recurse_array)"),
        f"--{boundary}--",
    ]
    return "\n".join(lines) + "\n"


def _part(boundary: str, text: str, *headers: str) -> Iterator[str]:
    """As it is where it is ASCII, as small readers want it; else cloud-init would mistake it."""
    yield f"--{boundary}"
    yield 'Content-Type: text/cloud-config; charset="utf-8"'
    yield from headers
    if text.isascii():
        yield from ("Content-Transfer-Encoding: 7bit", "", text)
    else:
        encoded = base64.encodebytes(text.encode()).decode().rstrip("\n")
        yield from ("Content-Transfer-Encoding: base64", "", encoded)


def _meta_data(seed: SeedSpec) -> str:
    """JSON, which is YAML too, so that nothing in a name can end a string early.

    Characters are not escaped: JSON writes those beyond U+FFFF as two, which YAML does not join.
    """
    data: dict[str, object] = {
        "instance-id": seed.instance_id,
        "local-hostname": seed.hostname,
    }
    if seed.ssh_keys:
        data["public-keys"] = list(seed.ssh_keys)
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _network_config(macs: Sequence[str]) -> str:
    """Version 2 (https://docs.cloud-init.io/en/latest/reference/network-config-format-v2.html).

    IPv6 addresses are made of the prefix and the MAC, for a guest may use no other: no random ones
    (netplan hands both keys on; other renderers do so anyway). Names are set because renderers
    without netplan take the key for one.
    """
    ethernets = {
        f"eth{number}": {
            "match": {"macaddress": mac},
            "set-name": f"eth{number}",
            "dhcp4": True,
            "accept-ra": True,
            "ipv6-address-generation": "eui64",
            "ipv6-privacy": False,
            "optional": number > 0,
        }
        for number, mac in enumerate(macs)
    }
    return json.dumps({"version": 2, "ethernets": ethernets}, indent=1) + "\n"


def _vendor_lines(seed: SeedSpec) -> Iterator[str]:
    """Block style, which small readers understand as well."""
    if seed.user:
        yield f"user:\n  name: {_quoted(seed.user)}\n"
    if seed.ssh_keys:
        yield "ssh_authorized_keys:\n"
        yield from (f"- {_quoted(key)}\n" for key in seed.ssh_keys)
    if seed.password_hash:
        yield f"password: {_quoted(seed.password_hash)}\n"
        yield "chpasswd:\n  expire: false\n"
        yield "ssh_pwauth: true\n"


def _quoted(text: str) -> str:
    """A double-quoted scalar (YAML 1.2, 7.3.1) in ASCII."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if " " <= character <= "~" else f"\\U{ord(character):08X}"
