"""Forms of networks, reservations and forwards."""
