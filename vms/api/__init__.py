"""REST: images and VMs."""

from vms.api.flavours import Flavours
from vms.api.images import Catalogue, Images
from vms.api.keys import SshKeys
from vms.api.snapshots import Snapshots
from vms.api.vms import Vms

__all__ = ["Catalogue", "Images", "Snapshots", "SshKeys", "Vms"]
__all__ = ["Catalogue", "Flavours", "Images", "SshKeys", "Vms"]
