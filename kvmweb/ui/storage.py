"""Static files under names that carry their hash, so that browsers may keep them for ever."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # it has no types
    """Leaves references to source maps alone: packages name maps that they do not ship."""

    patterns = tuple(
        (files, [rule for rule in rules if "sourceMappingURL" not in str(rule)])
        for files, rules in CompressedManifestStaticFilesStorage.patterns
    )
