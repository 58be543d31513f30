"""What guests show, as small pictures for lists."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from kvmweb.core.access import get_for
from kvmweb.ui.requests import user_of
from vms.models import Vm
from vms.pictures import newest

NOTHING = b"<svg xmlns='http://www.w3.org/2000/svg' width='16' height='9'/>"


@require_safe
def picture(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The newest there is; it may be none, which is an empty picture."""
    found = newest(get_for(user_of(request), Vm, uuid))
    png = bytes(found.png) if found else NOTHING
    answer = HttpResponse(png, content_type="image/png" if found else "image/svg+xml")
    answer["Cache-Control"] = "private, max-age=2"
    return answer
