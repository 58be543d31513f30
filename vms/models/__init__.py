"""Images, VMs, their disks and NICs."""

from vms.models.images import GIB, MIB, Image, library
from vms.models.keys import SshKey
from vms.models.vms import Disk, Nic, Vm

__all__ = ["GIB", "MIB", "Disk", "Image", "Nic", "SshKey", "Vm", "library"]
