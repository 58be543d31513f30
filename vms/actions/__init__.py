"""What people ask of VMs and images."""

from vms.actions.clone import clone_vm
from vms.actions.consoles import (
    consoles_of,
    offer_console,
    session_holder,
    take_console,
    token_holder,
)
from vms.actions.disks import add_disk, grow_disk, remove_disk
from vms.actions.fitting import LARGEST_MEMORY_MIB
from vms.actions.flavours import (
    change_flavour,
    create_flavour,
    delete_flavour,
    is_limited,
)
from vms.actions.images import (
    FACTS,
    NewImage,
    change_image,
    delete_image,
    deprecate_image,
    forget_uploads,
    free_bytes,
    import_image,
    import_listed,
    library_seen_at,
    receive,
    upload_image,
    users_of,
)
from vms.actions.keys import add_key, remove_key
from vms.actions.media import (
    begin_rescue,
    eject_iso,
    end_rescue,
    insert_iso,
    set_boot_order,
)
from vms.actions.nics import add_nic, remove_nic
from vms.actions.power import restart_vm, resume_vm, set_power
from vms.actions.rebuild import rebuild_vm
from vms.actions.recycling import bin_vm, delete_now, restore_vm
from vms.actions.snapshots import delete_snapshot, go_back, take_snapshot
from vms.actions.vms import (
    LARGEST_DISK_GIB,
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
    "FACTS",
    "LARGEST_DISK_GIB",
    "LARGEST_MEMORY_MIB",
    "MOST_FORWARDS",
    "NewForward",
    "NewImage",
    "NewNetwork",
    "NewVm",
    "add_disk",
    "add_key",
    "add_nic",
    "begin_rescue",
    "bin_vm",
    "change_flavour",
    "change_image",
    "change_vm",
    "check_vm",
    "clone_vm",
    "consoles_of",
    "create_flavour",
    "create_vm",
    "delete_flavour",
    "delete_image",
    "delete_now",
    "delete_snapshot",
    "delete_vm",
    "deprecate_image",
    "eject_iso",
    "end_rescue",
    "forget_uploads",
    "free_bytes",
    "go_back",
    "grow_disk",
    "import_image",
    "import_listed",
    "insert_iso",
    "is_limited",
    "library_seen_at",
    "offer_console",
    "rebuild_vm",
    "receive",
    "remove_disk",
    "remove_key",
    "remove_nic",
    "repair_vm",
    "restart_vm",
    "restore_vm",
    "resume_vm",
    "session_holder",
    "set_boot_order",
    "set_power",
    "take_console",
    "take_snapshot",
    "token_holder",
    "upload_image",
    "users_of",
    "what_goes",
]
