"""The schema for people: Swagger UI, served from here, under the same strict CSP as every page."""

from __future__ import annotations

from django.views.generic import TemplateView


class Docs(TemplateView):
    template_name = "api/docs.html"
