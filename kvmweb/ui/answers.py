"""The usual ends of a page: shown, shown again with what is wrong, or done and on to another."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from kvmweb.ui.forms import ActionForm


def form_page(
    request: HttpRequest, template: str, form: ActionForm, **context: Any
) -> HttpResponse:
    """The page of a form, with the status of its refusal if there was one."""
    return render(request, template, {"form": form, **context}, status=form.status)


def done(request: HttpRequest, words: str, to: Any, *args: Any) -> HttpResponse:
    """On to the page named `to` (or where the form asks to return), saying what was done."""
    messages.success(request, words)
    return redirect(safe_next(request)) if safe_next(request) else redirect(to, *args)


def safe_next(request: HttpRequest) -> str:
    """Where the form asks to go next, if that is a page of ours; else empty."""
    wanted = request.POST.get("next", "")
    allowed = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()})
    return wanted if allowed else ""
