"""Forms of VMs and images."""

from vms.forms.flavours import FlavourForm
from vms.forms.keys import KeyForm
from vms.forms.snapshots import BackForm, SnapshotForm
from vms.forms.vms import (
    NEW,
    CloneForm,
    DeleteForm,
    DiskForm,
    GoneForm,
    NewVmForm,
    NicForm,
    RebuildForm,
    SizeForm,
)

__all__ = [
    "NEW",
    "BackForm",
    "CloneForm",
    "DeleteForm",
    "DiskForm",
    "FlavourForm",
    "GoneForm",
    "KeyForm",
    "NewVmForm",
    "NicForm",
    "RebuildForm",
    "SizeForm",
    "SnapshotForm",
]
