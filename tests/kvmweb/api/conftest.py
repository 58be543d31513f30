"""Programs that speak REST in the name of the cast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from rest_framework.response import Response
from rest_framework.test import APIClient

from kvmweb.projects.actions import Actor, create_token

V1 = "/api/v1/"


class Program:
    """A REST client with a user's token; paths are relative to /api/v1/."""

    def __init__(self, user: User | None) -> None:
        self.client = APIClient(raise_request_exception=False)
        if user is not None:
            _token, secret = create_token(Actor(user), name="test")
            self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")

    def get(self, path: str, **query: Any) -> Response:
        return self.client.get(V1 + path, query)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        call = getattr(self.client, method.lower())
        return call(V1 + path, body, format="json", headers=headers)  # type: ignore[no-any-return]

    def post(self, path: str, body: Any = None, **headers: str) -> Response:
        return self.ask("post", path, body, **headers)

    def patch(self, path: str, body: Any) -> Response:
        return self.ask("patch", path, body)

    def delete(self, path: str) -> Response:
        return self.ask("delete", path)


@pytest.fixture(autouse=True)
def _no_throttle_left() -> None:
    cache.clear()


@pytest.fixture
def program() -> Callable[[User | None], Program]:
    return Program


@pytest.fixture
def alices(alice: User) -> Program:
    return Program(alice)


@pytest.fixture
def olgas(olga: User) -> Program:
    return Program(olga)
