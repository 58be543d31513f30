"""REST: speeds."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from networks.models.bandwidth import MOST_MBIT


class SpeedField(serializers.IntegerField):
    """Mbit/s; null lifts the limit."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "Mbit/s; null lifts the limit.")
        super().__init__(allow_null=True, min_value=1, max_value=MOST_MBIT, **options)
