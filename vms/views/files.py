"""Images for hosts. No session leads here: the address itself is the ticket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from vms.fetched import file_for
from vms.tickets import opened

_CHUNK = 1 << 20


@login_not_required
@require_safe
def image_file(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """The file of an image, in pieces: however large, little of it is in memory."""
    given = opened(ticket)
    path = file_for(given) if given else None
    if path is None or not path.exists():
        return HttpResponse(
            "This address is not, or no longer, good.\n",
            content_type="text/plain",
            status=HTTPStatus.FORBIDDEN,
        )
    size = path.stat().st_size
    body = _read(path) if request.method == "GET" else ()
    answer = StreamingHttpResponse(body, content_type="application/octet-stream")
    answer["Content-Length"] = str(size)
    answer["Cache-Control"] = "private, no-store"
    return answer


async def _read(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
    finally:
        file.close()
