"""What people ask of VMs and images."""

from vms.actions.power import restart_vm, resume_vm, set_power
from vms.actions.recycling import bin_vm, delete_now, restore_vm
from vms.actions.vms import (
    LARGEST_DISK_GIB,
    LARGEST_MEMORY_MIB,
    MOST_FORWARDS,
    NewForward,
    NewNetwork,
    NewVm,
    change_vm,
    check_vm,
    create_vm,
    delete_vm,
    repair_vm,
    what_goes,
)

__all__ = [
    "LARGEST_DISK_GIB",
    "LARGEST_MEMORY_MIB",
    "MOST_FORWARDS",
    "NewForward",
    "NewNetwork",
    "NewVm",
    "bin_vm",
    "change_vm",
    "check_vm",
    "create_vm",
    "delete_now",
    "delete_vm",
    "repair_vm",
    "restart_vm",
    "restore_vm",
    "resume_vm",
    "set_power",
    "what_goes",
]
