"""Django's backend for SQLite, with connections that are kept; see `base`."""
