"""The settings of one machine, without what only makes a lab slow to start."""

from __future__ import annotations

from kvmweb.settings.single import *  # noqa: F403

# Compressing the static files takes most of the time that a panel needs to start.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ("css", "html", "js", "json", "svg", "txt", "xml")
