"""How often one user may ask.

Counted in the process's own memory: the limit stops a program gone wild, and must neither need
Redis nor fail with it.
"""

from __future__ import annotations

from django.conf import settings
from rest_framework.throttling import UserRateThrottle


class PerUser(UserRateThrottle):
    """KVMWEB_API_RATE, such as 6000/min, for each user."""

    def get_rate(self) -> str:
        return str(settings.KVMWEB_API_RATE)
