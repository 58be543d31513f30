"""Forms of VMs and images."""

from vms.forms.vms import NEW, DeleteForm, NewVmForm, SizeForm

__all__ = ["NEW", "DeleteForm", "NewVmForm", "SizeForm"]
