"""What the OpenAPI document says of every operation alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.serializers import Serializer

from kvmweb.api.fields import Nothing
from kvmweb.api.once import HEADER, LONGEST_KEY

_PROBLEMS = {
    "400": "A field is wrong: `field` names it.",
    "401": "No token, or not a valid one.",
    "403": "The object may be seen but not changed by this user.",
    "404": "There is no such object, or not for this user.",
    "405": "The object does not do that.",
    "409": "Somebody else was first, or the object's state excludes the request.",
    "415": "The body is not JSON.",
    "429": "Too many requests; `Retry-After` says how many seconds to wait.",
    "503": "The panel's database did not answer in time; try again after `Retry-After` seconds.",
    "502": "The host says that it cannot answer, and why.",
    "504": "The host does not answer. What is set up there goes on working.",
}
_ALWAYS = ("401", "404", "405", "429", "503")
_ASKS = "x-asks-host"
PREVIEWS = "x-previews"
_WRITES = ("400", "403", "409", "415")


F = TypeVar("F", bound=Callable[..., Any])


def takes(
    body: type[Serializer[Any]], answer: type[Serializer[Any]], *, status: int = 202
) -> Callable[[F], F]:
    """Describe a POST or PATCH: what its body has, and the object it answers with."""
    return extend_schema(request=body, responses={status: answer})


def starts(answer: type[Serializer[Any]]) -> Callable[[F], F]:
    """Describe a change that needs no body: what it answers with beside the job's Location."""
    return extend_schema(request=Nothing, responses={202: answer})


def answered_by_host(
    answer: Any, *parameters: OpenApiParameter, name: str | None = None
) -> Callable[[F], F]:
    """Describe what asks the host at once: its query and answer, and that there may be none."""
    return extend_schema(
        operation_id=name,
        parameters=[*parameters],
        responses={200: answer},
        extensions={_ASKS: True},
    )


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "kvmweb.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer"}


def complete(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Add to every operation what holds for all: problems, the job's Location, Idempotency-Key."""
    components = result["components"]
    components["schemas"]["Problem"] = _PROBLEM
    components["schemas"]["Preview"] = _PREVIEW
    components["responses"] = {f"Problem{code}": _problem(code) for code in _PROBLEMS}
    for methods in result["paths"].values():
        for method, operation in methods.items():
            _complete(method, operation)
    return result


def _complete(method: str, operation: dict[str, Any]) -> None:
    operation.setdefault("summary", operation["description"].splitlines()[0])
    answers = operation["responses"]
    for code in (*_ALWAYS, *(_WRITES if method != "get" else ("400",))):
        answers.setdefault(code, {"$ref": f"#/components/responses/Problem{code}"})
    previews = operation.pop(PREVIEWS, False)
    if previews:
        operation.setdefault("parameters", []).append(_DRY_RUN)
        answers["200"] = _PREVIEWED
    if operation.pop(_ASKS, False) or previews:
        for code in ("502", "504"):
            answers[code] = {"$ref": f"#/components/responses/Problem{code}"}
    operation["responses"] = dict(sorted(answers.items()))
    if "202" in answers:
        answers["202"]["headers"] = {"Location": _LOCATION}
    if method == "post":
        operation.setdefault("parameters", []).append(_KEY)


def _problem(code: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": _PROBLEMS[code], "content": {"application/json": {"schema": schema}}}


_ONE = {
    "code": {"type": "string", "description": "For programs."},
    "message": {"type": "string", "description": "For people: what is wrong and why."},
    "field": {"type": "string", "description": "Path of the field at fault; may be empty."},
    "remedy": {"type": "string", "description": "What to do about it; may be empty."},
}
_PROBLEM = {
    "type": "object",
    "description": "What every refused request is answered with.",
    "properties": {
        **_ONE,
        "errors": {
            "type": "array",
            "description": "All that is wrong, when several fields are.",
            "items": {"type": "object", "properties": _ONE, "required": list(_ONE)},
        },
    },
    "required": list(_ONE),
}
_LOCATION = {
    "description": "The job that brings the change to the host.",
    "schema": {"type": "string", "format": "uri-reference"},
}
_KEY = {
    "in": "header",
    "name": HEADER,
    "description": "The same key within 24 hours gets the first answer; nothing is done twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}
_DRY_RUN = {
    "in": "query",
    "name": "dry_run",
    "description": "Say what it would do on the host, and do nothing.",
    "schema": {"type": "boolean", "default": False},
}
_PREVIEWED = {
    "description": "With `dry_run`: what it would do. Nothing was done.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Preview"}}},
}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_PLANNED = {
    "type": "object",
    "properties": {
        "sentence": {"type": "string"},
        "detail": {**_TEXTS, "description": "Elements, files and settings behind it."},
    },
    "required": ["sentence", "detail"],
}
_PLAN = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "description": "Of what: network or vm."},
        "name": {"type": "string"},
        "steps": {
            "type": "array",
            "items": _PLANNED,
            "description": "Empty: nothing would change on the host.",
        },
        "guests": {**_TEXTS, "description": "Names of those it touches."},
        "refused": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "What the host would leave out, by id, and why.",
        },
        "problem": {"type": "string", "description": "Why the host would refuse it; or empty."},
        "remedy": {"type": "string"},
    },
    "required": ["kind", "name", "steps", "guests", "refused", "problem", "remedy"],
}
_PREVIEW = {
    "type": "object",
    "description": "What a change would do, a plan for each network and VM it is about.",
    "properties": {
        "dry_run": {"type": "boolean"},
        "plans": {"type": "array", "items": _PLAN},
    },
    "required": ["dry_run", "plans"],
}
