"""The programs of a host: here, and only here, both kinds of subjects meet."""
