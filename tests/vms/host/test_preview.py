"""A preview of a VM names the files, devices and processes behind each step."""

from __future__ import annotations

import pytest

from tests.vms.host.vm_cases import IMAGE, LAYOUT, NIC, vm
from vms.host import domain_xml
from vms.host.ops import Op
from vms.host.plan import GIB, plan
from vms.host.preview import detail
from vms.host.spec import VmSpec
from vms.host.state import DomainState, VmState

pytestmark = pytest.mark.pure

NOTHING = VmState(layout=LAYOUT, accelerator="tcg")


def told(spec: VmSpec, state: VmState) -> dict[str, tuple[str, ...]]:
    ops: tuple[Op, ...] = plan(spec, state)
    return {type(op).__name__: detail(op, spec, state) for op in ops}


def test_a_new_vm_is_its_files_its_definition_and_its_process() -> None:
    port = f"guest port: {NIC.tap} of bridge {NIC.bridge}, MAC {NIC.mac}"
    image, disk = LAYOUT.image(IMAGE.sha256), LAYOUT.disk("d1")
    assert told(vm(), NOTHING) == {
        "FetchImage": (f"file: {image}", f"image: {IMAGE.name}"),
        "CreateDisk": (f"file: {disk}", f"over: {image}"),
        "WriteSeed": (f"file: {LAYOUT.seed}", "contains: meta-data, user-data, vendor-data"),
        "DefineDomain": ("definition: 1 vCPU, 128 MiB", port),
        "StartDomain": ("process: QEMU of hello", port),
    }


def test_a_change_tells_what_differs_and_an_end_every_file() -> None:
    xml = domain_xml.build(vm(), LAYOUT, "tcg")
    files = {LAYOUT.disk("d1").name: GIB, LAYOUT.seed.name: 1}
    here = VmState(
        layout=LAYOUT,
        accelerator="tcg",
        files=files,
        domain=DomainState(state="running", xml=xml, live_xml=xml),
    )
    (lines,) = [lines for op, lines in told(vm(vcpus=3), here).items() if op == "RedefineDomain"]
    assert '- <vcpu placement="static">1</vcpu>' in lines
    assert '+ <vcpu placement="static">3</vcpu>' in lines
    assert told(vm(present=False), here) == {
        "DestroyDomain": ("process: QEMU of hello",),
        "UndefineDomain": ("definition: hello",),
        "DeleteDisk": (f"file: {LAYOUT.disk('d1')}",),
        "DeleteSeed": (f"file: {LAYOUT.seed}",),
    }
