"""Logging in and out, the password, API tokens, theme and project."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.projects.actions import create_token, personal_project, revoke_token
from kvmweb.projects.models import ApiToken
from kvmweb.ui.answers import done, safe_next
from kvmweb.ui.context import THEMES
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.requests import actor_of, choose_project, user_of

YEAR = 31_536_000


@method_decorator(login_not_required, name="dispatch")
class LoginView(auth.LoginView):
    template_name = "ui/login.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Everybody who comes in has a project of their own."""
        personal_project(form.get_user())
        return super().form_valid(form)


class PasswordView(auth.PasswordChangeView):
    template_name = "ui/password.html"
    success_url = reverse_lazy("password")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        super().form_valid(form)
        return done(self.request, "The password was changed.", "password")


class TokenForm(ActionForm):
    name = forms.CharField(
        max_length=63, label="What is it for?", help_text="For example: backup script."
    )
    days = forms.TypedChoiceField(
        label="Valid for",
        choices=[(30, "30 days"), (90, "90 days"), (365, "1 year"), (0, "Until revoked")],
        coerce=int,
        initial=90,
    )


@require_http_methods(["GET", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    form = TokenForm(request.POST or None)
    secret = _created(request, form) if request.method == "POST" else None
    rows = ApiToken.objects.visible_to(user_of(request))
    context = {"tokens": rows, "form": TokenForm() if secret else form, "secret": secret}
    return render(request, "ui/tokens.html", context, status=form.status)


def _created(request: HttpRequest, form: TokenForm) -> str | None:
    def create(data: dict[str, object]) -> str:
        days = int(str(data["days"]))
        expires = timezone.now() + timedelta(days=days) if days else None
        return create_token(actor_of(request), name=str(data["name"]), expires_at=expires)[1]

    return form.submit(create)


@require_POST
def token_revoke(request: HttpRequest, uuid: str) -> HttpResponse:
    token = revoke_token(actor_of(request), uuid)
    return done(request, f"Token “{token.name}” no longer opens anything.", "tokens")


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    wish = request.POST.get("theme", "")
    answer = redirect(safe_next(request) or "overview")
    answer.set_cookie("theme", wish if wish in THEMES else "auto", max_age=YEAR, samesite="Lax")
    return answer


@require_POST
def project(request: HttpRequest) -> HttpResponse:
    choose_project(request, request.POST.get("project", ""))
    return redirect(safe_next(request) or "overview")
