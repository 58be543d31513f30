"""One machine, one command: everything of the panel and its host started, watched and stopped.

Nothing in here is needed where each process has a unit of its own; see docs/operations.md.
"""
