"""What a refusal must look like: the right error at the right field, and not a trace of it left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from django.apps import apps
from django.db import connection

from kvmweb.core.errors import KvmwebError

R = TypeVar("R")
E = TypeVar("E", bound=KvmwebError)


def result_of(refusal: type[E], call: Callable[[], R]) -> R | E:
    """What a call returns, or the refusal of this kind it raises."""
    try:
        return call()
    except refusal as error:
        return error


def rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every model of ours."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models()
        if not model.__module__.startswith("django.")
    }


@contextmanager
def refused(error: type[KvmwebError], field: str = "", *, code: str = "") -> Iterator[None]:
    """The block must raise this error about this field, write nothing and send nothing."""
    before, waiting = rows(), len(connection.run_on_commit)
    with pytest.raises(error) as caught:
        yield
    assert caught.value.field == field
    assert caught.value.message
    if code:
        assert caught.value.code == code
    assert rows() == before
    assert len(connection.run_on_commit) == waiting
