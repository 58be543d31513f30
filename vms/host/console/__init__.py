"""Consoles of guests: the host dials the panel and splices its line to QEMU. No port is opened."""
