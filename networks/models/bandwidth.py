"""How fast something may send and receive."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

MOST_MBIT = 100_000
_BYTES_PER_MBIT = 125_000
_SPEED = [MinValueValidator(1), MaxValueValidator(MOST_MBIT)]


class Bandwidth(models.Model):
    """The most Mbit/s down to guests and up from them; None is no limit."""

    max_down_mbit = models.PositiveIntegerField(
        "download limit", null=True, blank=True, validators=_SPEED, help_text="Mbit/s"
    )
    max_up_mbit = models.PositiveIntegerField(
        "upload limit", null=True, blank=True, validators=_SPEED, help_text="Mbit/s"
    )

    class Meta:
        abstract = True

    @property
    def max_down(self) -> int:
        """In bytes per second, 0 for no limit."""
        return (self.max_down_mbit or 0) * _BYTES_PER_MBIT

    @property
    def max_up(self) -> int:
        """In bytes per second, 0 for no limit."""
        return (self.max_up_mbit or 0) * _BYTES_PER_MBIT
