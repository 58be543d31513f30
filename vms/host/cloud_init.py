"""The texts of a NoCloud seed, as cloud-init reads them. Pure.

https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html. What the panel sets goes
into the vendor-data and, for keys, into the meta-data too: so it is there even when the user's own
user-data, which is handed on as it is, has a list of keys that replaces the vendor's.
"""

from __future__ import annotations

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
        USER_DATA: seed.user_data or _CLOUD_CONFIG,
        VENDOR_DATA: _CLOUD_CONFIG + "".join(_vendor_lines(seed)),
        **({NETWORK_CONFIG: _network_config(seed.macs)} if seed.macs else {}),
    }


def digest(seed: SeedSpec) -> str:
    """What tells a seed from one with other content; sha256 in hex."""
    return hashlib.sha256(json.dumps(dict(documents(seed))).encode()).hexdigest()


def _meta_data(seed: SeedSpec) -> str:
    """JSON, which is YAML too, so that nothing in a name can end a string early."""
    data: dict[str, object] = {
        "instance-id": seed.instance_id,
        "local-hostname": seed.hostname,
    }
    if seed.ssh_keys:
        data["public-keys"] = list(seed.ssh_keys)
    return json.dumps(data, indent=1) + "\n"


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
    """Block style with strings quoted as in JSON, which small readers understand as well."""
    if seed.ssh_keys:
        yield "ssh_authorized_keys:\n"
        yield from (f"- {json.dumps(key)}\n" for key in seed.ssh_keys)
    if seed.password_hash:
        yield f"password: {json.dumps(seed.password_hash)}\n"
        yield "chpasswd:\n  expire: false\n"
        yield "ssh_pwauth: true\n"
