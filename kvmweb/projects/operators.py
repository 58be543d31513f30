"""What the operators' admin of every app leans on.

Operators are active staff, no more permissions needed. What actions own is shown and never edited
here; buttons call the same actions as everybody's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import NoReverseMatch, path, reverse

from kvmweb.core.access import is_operator
from kvmweb.core.errors import KvmwebError
from kvmweb.projects.actions import Actor, audit

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline


def actor_of(request: HttpRequest) -> Actor:
    """The operator who asks through the admin."""
    return Actor(cast("User", request.user), source=request.META.get("REMOTE_ADDR", ""))


@dataclass(frozen=True, slots=True)
class Button:
    """Something to ask for about an object: on its page, where it is of any use to it, and in its
    list for many at once."""

    name: str
    label: str
    ask: Callable[[Actor, Any], object]
    is_useful: Callable[[Any], bool] = lambda _: True


class OperatorsOnly:
    """Active staff may look; whether they may also add, change or delete is said per model."""

    may_add = may_change = may_delete = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request.user)

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return is_operator(request.user)

    def has_add_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return self.may_add and is_operator(request.user)

    def has_change_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return self.may_change and is_operator(request.user)

    def has_delete_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return self.may_delete and is_operator(request.user)


class OperatorAdmin(OperatorsOnly, _ModelAdmin):
    """`editable` names the fields operators may set; all others but `hidden` are shown.

    `page` is the name of the object's page in the panel, taken by UUID.
    """

    editable: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()
    buttons: ClassVar[tuple[Button, ...]] = ()
    page: ClassVar[str] = ""
    change_form_template = "admin/operator_change_form.html"
    list_per_page = 50
    show_full_result_count = False

    def get_fields(self, _request: HttpRequest, obj: Model | None = None) -> list[Any]:
        if obj is None:
            return list(self.editable)
        return [
            field.name
            for field in self.model._meta.fields
            if field.name not in ("id", *self.hidden)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        if obj is None:
            return []
        return [name for name in self.get_fields(request, obj) if name not in self.editable]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        asked = {
            button.name: (_for_many(button), button.name, button.label) for button in self.buttons
        }
        return {**super().get_actions(request), **asked}

    def get_urls(self) -> list[Any]:
        options = self.model._meta
        ask = path(
            "<int:pk>/ask/<slug:name>/",
            self.admin_site.admin_view(self.ask_view),
            name=f"{options.app_label}_{options.model_name}_ask",
        )
        return [ask, *super().get_urls()]

    def ask_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Press one button of one object."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        button = next((button for button in self.buttons if button.name == name), None)
        found = self.get_queryset(request).filter(pk=pk).first()
        if button is not None and found is not None:
            _press(request, button, found)
        options = self.model._meta
        back = f"admin:{options.app_label}_{options.model_name}_change"
        return HttpResponseRedirect(reverse(back, args=[pk]))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = kwargs.get("obj")
        useful = [each for each in self.buttons if obj is not None and each.is_useful(obj)]
        context["buttons"] = useful
        context["page"] = self.page_of(obj) if obj is not None else ""
        return super().render_change_form(request, context, *args, **kwargs)

    def page_of(self, obj: Any) -> str:
        """The address of the object's page in the panel; empty when it has none."""
        if not self.page:
            return ""
        try:
            return reverse(self.page, args=[obj.uuid])
        except NoReverseMatch:
            return ""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._audit(request, "added", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._audit(request, "changed", obj, message)
        return super().log_change(request, obj, message)

    def _audit(self, request: HttpRequest, what: str, obj: Any, message: Any) -> None:
        if hasattr(obj, "uuid"):
            action = f"{self.model._meta.model_name}.{what}_by_operator"
            project = getattr(obj, "project", None)
            audit(actor_of(request), action, obj, project=project, change=message)


class OperatorInline(OperatorsOnly, _TabularInline):
    """Rows of an object's page."""

    extra = 0
    show_change_link = True


def _for_many(button: Button) -> Callable[..., None]:
    def press_all(_admin: OperatorAdmin, request: HttpRequest, chosen: Any) -> None:
        for obj in chosen:
            _press(request, button, obj)

    return press_all


def _press(request: HttpRequest, button: Button, obj: Any) -> None:
    try:
        button.ask(actor_of(request), obj)
    except KvmwebError as error:
        messages.error(request, f"{obj}: {error.message} {error.remedy}".strip())
    else:
        messages.success(request, f"{button.label}: {obj}")
