"""REST: images and VMs."""

from vms.api.images import Images
from vms.api.vms import Vms

__all__ = ["Images", "Vms"]
