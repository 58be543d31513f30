"""Images, VMs, their disks, NICs and consoles."""

from vms.models.consoles import Console
from vms.models.images import GIB, MIB, Image, library
from vms.models.keys import SshKey
from vms.models.snapshots import Snapshot
from vms.models.vms import Disk, Nic, Vm

__all__ = ["GIB", "MIB", "Disk", "Image", "Nic", "SshKey", "Vm", "library"]
__all__ = ["GIB", "MIB", "Console", "Disk", "Image", "Nic", "Vm", "library"]
__all__ = ["GIB", "MIB", "Disk", "Image", "Nic", "Snapshot", "SshKey", "Vm", "library"]
__all__ = ["GIB", "MIB", "Console", "Disk", "Image", "Nic", "SshKey", "Vm", "library"]
from vms.models.pictures import Picture

__all__ = ["GIB", "MIB", "Console", "Disk", "Image", "Nic", "Picture", "SshKey", "Vm", "library"]
