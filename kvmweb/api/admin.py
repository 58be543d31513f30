"""Operators: answers kept for programs that ask twice."""

from __future__ import annotations

from django.contrib import admin

from kvmweb.api.models import KeptAnswer
from kvmweb.projects.operators import OperatorAdmin


@admin.register(KeptAnswer)
class KeptAnswerAdmin(OperatorAdmin):
    hidden = ("body",)
    list_display = ("user", "key", "status", "location", "created_at")
    list_select_related = ("user",)
    list_filter = ("status", "created_at")
    search_fields = ("key", "user__username", "location")
