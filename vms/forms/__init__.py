"""Forms of VMs and images."""

from vms.forms.flavours import FlavourForm
from vms.forms.keys import KeyForm
from vms.forms.snapshots import BackForm, SnapshotForm
from vms.forms.vms import NEW, DeleteForm, DiskForm, GoneForm, NewVmForm, NicForm, SizeForm

__all__ = [
    "NEW",
    "BackForm",
    "DeleteForm",
    "DiskForm",
    "FlavourForm",
    "GoneForm",
    "KeyForm",
    "NewVmForm",
    "NicForm",
    "SizeForm",
    "SnapshotForm",
]
