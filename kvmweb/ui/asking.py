"""How often one user's pages may ask hosts: as often as their programs, together with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse

from kvmweb.api.throttle import PerUser
from kvmweb.core.errors import KvmwebError
from kvmweb.ui.forms import DRY_RUN
from kvmweb.ui.middleware import Refusals

V = TypeVar("V", bound=Callable[..., HttpResponse])
_ASKS = "asks_host"


class AskedTooOften(KvmwebError):
    """This user has asked hosts as often as one may."""

    code = "throttled"
    status = 429


def asks_host(view: V) -> V:
    """A view that waits for a host's answer."""
    setattr(view, _ASKS, True)
    return view


class LimitsQuestions:
    """Refuses what would ask a host once its user has asked too often."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """Previews of forms ask a host too, whichever view shows them."""
        asks = getattr(view, _ASKS, False)
        if not asks and request.method == "POST" and _is_page(request):
            asks = DRY_RUN in request.POST
        limit = PerUser()
        if not asks or limit.allow_request(request, None):  # type: ignore[arg-type]
            return None
        refusal = AskedTooOften(
            "You have asked hosts more often than the panel allows.",
            remedy=f"Try again in {max(1, round(limit.wait() or 1))} seconds.",
        )
        return Refusals(self._get_response).process_exception(request, refusal)


def _is_page(request: HttpRequest) -> bool:
    return request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data")
