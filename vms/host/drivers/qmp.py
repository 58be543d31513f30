"""What is asked of a guest's QEMU itself, through libvirt, because libvirt has no word for it.

libvirt notes that in its log (“tainted: custom-monitor”). See QEMU's QMP reference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import libvirt_qemu

from kvmweb.core.errors import HostError


class QemuRefused(HostError):
    code = "qemu_refused"


def snapshot_disks(domain: Any, files: Sequence[str], name: str) -> None:
    """All or none, at one moment."""
    nodes = _nodes(domain)
    actions = [
        {
            "type": "blockdev-snapshot-internal-sync",
            "data": {"device": _node(nodes, file), "name": name},
        }
        for file in files
    ]
    if actions:
        _ask(domain, "transaction", {"actions": actions})


def drop_snapshot(domain: Any, file: str, name: str) -> None:
    device = _node(_nodes(domain), file)
    _ask(domain, "blockdev-snapshot-delete-internal-sync", {"device": device, "name": name})


def _nodes(domain: Any) -> dict[str, str]:
    """The name of the qcow2 node of each file that the guest writes to."""
    found = _ask(domain, "query-named-block-nodes", {"flat": True})
    return {
        node["file"]: node["node-name"]
        for node in found
        if node["drv"] == "qcow2" and not node["ro"]
    }


def _node(nodes: dict[str, str], file: str) -> str:
    if file not in nodes:
        raise QemuRefused(f"The running guest does not have the disk {file}.")
    return nodes[file]


def _ask(domain: Any, command: str, arguments: dict[str, Any]) -> Any:
    words = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, words, 0))
    if error := answer.get("error"):
        raise QemuRefused(
            f"QEMU refused {command}: {error.get('desc', error)}",
            remedy="An operator finds more in the VM's QEMU log.",
        )
    return answer["return"]
