"""Pages of networks and forwards."""
