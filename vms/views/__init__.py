"""Pages of VMs and images."""
