"""Idempotency-Key on POST: the same key by the same user within a day gets the first answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.models import KeptAnswer
from kvmweb.core.errors import Conflict, Invalid

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
LONGEST_KEY = 200

Handler = Callable[..., Response]


def once(handler: Handler) -> Handler:
    """Honour the Idempotency-Key of the request that this method of a view answers.

    The key is taken, the change made and the answer kept in one transaction, so of two equal
    requests at the same time the second waits for the first. What was refused is not kept, nor a
    secret that is told once (`tell_once`).
    """

    @wraps(handler)
    def answered(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(self, request, *args, **kwargs)
        if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
            raise Invalid(f"{HEADER} has 1 to {LONGEST_KEY} printable characters.", field=HEADER)
        return _once(request, key, lambda: handler(self, request, *args, **kwargs))

    answered.keeps_answers = True  # type: ignore[attr-defined]
    return answered


def tell_once(answer: Response, **secrets: str | None) -> Response:
    """Add secrets to an answer that are not kept with it: told again, they are null."""
    answer.data.update(secrets)
    answer.told_once = tuple(secrets)  # type: ignore[attr-defined]
    return answer


def _once(request: Request, key: str, change: Callable[[], Response]) -> Response:
    digest = _digest(request)
    user = cast("User", request.user)
    with transaction.atomic():
        KeptAnswer.objects.filter(user=user, created_at__lt=timezone.now() - KEPT_FOR).delete()
        try:
            with transaction.atomic():
                kept = KeptAnswer.objects.create(user=user, key=key, request_digest=digest)
        except IntegrityError:
            return _repeated(KeptAnswer.objects.get(user=user, key=key), digest)
        answer = change()
        untold = dict.fromkeys(getattr(answer, "told_once", ()))
        kept.status, kept.body = answer.status_code, _plain(answer.data) | untold
        kept.location = answer.headers.get("Location", "")
        kept.save()
    return answer


def _repeated(kept: KeptAnswer, digest: str) -> Response:
    if kept.request_digest != digest:
        raise Conflict(
            f"This {HEADER} was used for another request.",
            field=HEADER,
            code="idempotency_key_reused",
            remedy="Use a new key for every new request.",
        )
    headers = {"Location": kept.location} if kept.location else {}
    return Response(kept.body, status=kept.status, headers={**headers, "Idempotent-Replay": "true"})


def _digest(request: Request) -> str:
    """Under the panel's own key: a body may hold a password."""
    body = json.dumps(request.data, sort_keys=True, cls=DjangoJSONEncoder)
    text = f"{request.method} {request.path}\n{body}"
    return salted_hmac("kvmweb.api.once", text, algorithm="sha256").hexdigest()


def _plain(data: Any) -> Any:
    return json.loads(json.dumps(data, cls=DjangoJSONEncoder))
