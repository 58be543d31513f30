"""kvmweb: a self-hosted web panel for KVM with NAT networking at its heart."""

__version__ = "0.1.0"
