"""One shape for everything that goes wrong.

`{"code", "message", "field", "remedy"}`, and `errors` with one such entry each when several fields
are at fault.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, TypedDict

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from kvmweb.core.database import known
from kvmweb.core.errors import Busy, KvmwebError, Several

log = logging.getLogger(__name__)

SIGN_IN = "Send “Authorization: Bearer …” with a token, or sign in."


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "The body is too large."


class Problem(TypedDict):
    """`field` is a path such as `forwards.0.public_port`; empty when no field is at fault."""

    code: str
    message: str
    field: str
    remedy: str


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: every error becomes a problem, and none a traceback."""
    set_rollback()
    if (refusal := known(error)) is not None:
        body: dict[str, Any] = {**_told(refusal)}
        if isinstance(refusal, Several) and len(refusal.errors) > 1:
            body["errors"] = [_told(each) for each in refusal.errors]
        return Response(body, status=refusal.status, headers=_headers(refusal))
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is nothing at this address.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, RequestDataTooBig):
        error = TooLarge()
    elif isinstance(error, RecursionError):
        error = exceptions.ParseError("The body is nested too deeply.")
    if isinstance(error, exceptions.ValidationError):
        return _invalid(list(flatten(error.detail)))
    if isinstance(error, exceptions.APIException):
        return _refused(error)
    log.error("request failed: %s", context.get("view"), exc_info=error)
    problem = _problem("crashed", "The panel failed at this. Its operators can read why.")
    return Response(problem, status=status.HTTP_500_INTERNAL_SERVER_ERROR)


def _headers(refusal: KvmwebError) -> dict[str, str]:
    return {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, Busy) else {}


def _told(refusal: KvmwebError) -> Problem:
    return _problem(refusal.code, refusal.message, refusal.field, refusal.remedy)


def _problem(code: str, message: str, field: str = "", remedy: str = "") -> Problem:
    # What was sent may be quoted, and need not be text that can be sent back.
    message, field = (text.encode(errors="replace").decode() for text in (message, field))
    return {"code": code, "message": message, "field": field, "remedy": remedy}


def _invalid(problems: list[Problem]) -> Response:
    body: dict[str, Any] = {**problems[0]}
    if len(problems) > 1:
        body["errors"] = problems
    return Response(body, status=status.HTTP_400_BAD_REQUEST)


def _refused(error: exceptions.APIException) -> Response:
    headers: dict[str, str] = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    remedy = SIGN_IN if error.status_code == status.HTTP_401_UNAUTHORIZED else ""
    code = str(getattr(error.detail, "code", error.default_code))
    problem = _problem(code, str(error.detail), remedy=remedy)
    return Response(problem, status=error.status_code, headers=headers)


def flatten(detail: Any, path: str = "") -> Iterator[Problem]:
    """The problems in DRF's nested error detail, each with the path of its field."""
    if isinstance(detail, dict):
        for name, below in detail.items():
            yield from flatten(below, path if name == "non_field_errors" else _join(path, name))
    elif isinstance(detail, list):
        for index, below in enumerate(detail):
            nested = isinstance(below, dict | list)
            yield from flatten(below, _join(path, str(index)) if nested else path)
    else:
        yield _problem(str(getattr(detail, "code", "invalid")), str(detail), path)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
