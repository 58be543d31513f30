"""Forms of VMs and images."""

from vms.forms.keys import KeyForm
from vms.forms.vms import NEW, DeleteForm, DiskForm, GoneForm, NewVmForm, NicForm, SizeForm

__all__ = [
    "NEW",
    "DeleteForm",
    "DiskForm",
    "GoneForm",
    "KeyForm",
    "NewVmForm",
    "NicForm",
    "SizeForm",
]
