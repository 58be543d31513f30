"""Operators: users, projects, who belongs to them, tokens, and the audit trail."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from kvmweb.projects.models import ApiToken, AuditEvent, Membership, Project
from kvmweb.projects.operators import OperatorAdmin, OperatorInline, OperatorsOnly

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class OperatorsUserAdmin(OperatorsOnly, UserAdmin):  # type: ignore[type-arg]
    """Users; staff are the operators. Groups and single permissions are not used."""

    may_add = may_change = True
    list_display = ("username", "email", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("username", "email", "first_name", "last_name")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Access", {"fields": ("is_active", "is_staff")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def has_delete_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Switching a user off is enough, and leaves what they did with a name."""
        return False


class MembershipInline(OperatorInline):
    model = Membership
    may_add = may_change = may_delete = True
    autocomplete_fields = ("user",)


@admin.register(Project)
class ProjectAdmin(OperatorAdmin):
    may_add = may_change = True
    editable = ("name",)
    list_display = ("name", "personal_of", "created_at")
    list_select_related = ("personal_of",)
    list_filter = ("created_at",)
    search_fields = ("name", "uuid", "memberships__user__username")
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(OperatorAdmin):
    may_add = may_change = may_delete = True
    editable = ("project", "user", "role")
    list_display = ("project", "user", "role")
    list_select_related = ("project", "user")
    list_filter = ("role",)
    search_fields = ("project__name", "user__username")
    autocomplete_fields = ("project", "user")


@admin.register(ApiToken)
class ApiTokenAdmin(OperatorAdmin):
    """Operators may revoke a token by deleting it, not make one in another's name."""

    may_delete = True
    hidden = ("digest",)
    list_display = ("name", "prefix", "user", "created_at", "expires_at", "last_used_at")
    list_select_related = ("user",)
    list_filter = ("created_at", "expires_at")
    search_fields = ("name", "prefix", "user__username")


@admin.register(AuditEvent)
class AuditEventAdmin(OperatorAdmin):
    list_display = ("at", "actor_name", "action", "object_name", "project", "source", "token")
    list_select_related = ("project",)
    list_filter = ("action", "object_kind", "at")
    search_fields = ("actor_name", "object_name", "object_uuid", "job_uuid", "source")
    date_hierarchy = "at"
