"""The schema for people: Swagger UI, served from here, under the same strict CSP as every page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.utils.decorators import method_decorator
from django.views.generic import TemplateView


@method_decorator(login_not_required, name="dispatch")
class Docs(TemplateView):
    template_name = "api/docs.html"
