"""Our errors, raised anywhere under a page, become an answer a person can act on."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from kvmweb.core.errors import KvmwebError

GetResponse = Callable[[HttpRequest], HttpResponse]


def refusals(get_response: GetResponse) -> GetResponse:
    return Refusals(get_response)


class Refusals:
    """Answers a KvmwebError with a page, or with a note on the page that htmx is on.

    REST has its own answer and never lets one through to here.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, KvmwebError):
            return None
        if getattr(request, "htmx", False):
            return _note(request, error)
        known = {404: "404.html", 403: "403.html"}
        template = known.get(error.status, "ui/refused.html")
        return render(request, template, {"error": error}, status=error.status)


def _note(request: HttpRequest, error: KvmwebError) -> HttpResponse:
    answer = render(request, "ui/_refused.html", {"error": error}, status=error.status)
    answer["HX-Retarget"], answer["HX-Reswap"] = "#toasts", "beforeend"
    answer["HX-Reselect"] = ".toast-note"
    return answer
