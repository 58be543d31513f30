"""Images, VMs, their disks, NICs, snapshots and consoles."""

from vms.models.consoles import Console
from vms.models.flavours import Flavour
from vms.models.images import GIB, MIB, Image, library
from vms.models.keys import SshKey
from vms.models.pictures import Picture
from vms.models.snapshots import Snapshot
from vms.models.vms import Disk, Nic, Vm

__all__ = [
    "GIB",
    "MIB",
    "Console",
    "Disk",
    "Flavour",
    "Image",
    "Nic",
    "Picture",
    "Snapshot",
    "SshKey",
    "Vm",
    "library",
]
