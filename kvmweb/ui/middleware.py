"""Our errors, raised anywhere under a page, become an answer a person can act on."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from kvmweb.core.database import known
from kvmweb.core.errors import Busy

NOTE = "ui/_refused.html"
GetResponse = Callable[[HttpRequest], HttpResponse]


def secure_cookies(get_response: GetResponse) -> GetResponse:
    """What was set over TLS is sent over TLS alone, although the panel has an address without."""

    def answered(request: HttpRequest) -> HttpResponse:
        answer = get_response(request)
        if request.is_secure():
            for cookie in answer.cookies.values():
                cookie["secure"] = True
        return answer

    return answered


def refusals(get_response: GetResponse) -> GetResponse:
    return Refusals(get_response)


class Refusals:
    """Answers what a person may see with a page, or with a note on the page that htmx is on.

    REST has its own answer and never lets one through to here.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        refusal = known(error)
        if refusal is None:
            return None
        in_place = getattr(request, "htmx", False)
        if isinstance(refusal, Busy):
            return _busy(refusal, in_place=in_place)
        if in_place:
            return _note(render(request, NOTE, {"error": refusal}, status=refusal.status))
        templates = {404: "404.html", 403: "403.html"}
        template = templates.get(refusal.status, "ui/refused.html")
        return render(request, template, {"error": refusal}, status=refusal.status)


def _busy(refusal: Busy, *, in_place: bool) -> HttpResponse:
    """Without the frame of a page, which would ask the database again."""
    words = render_to_string(NOTE if in_place else "503.html", {"error": refusal})
    answer = HttpResponse(words, status=refusal.status)
    answer["Retry-After"] = str(refusal.retry_after)
    return _note(answer) if in_place else answer


def _note(answer: HttpResponse) -> HttpResponse:
    answer["HX-Retarget"], answer["HX-Reswap"] = "#toasts", "beforeend"
    answer["HX-Reselect"] = ".toast-note"
    return answer
