"""What was sealed opens with the same key, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.envelope import Forged, open_, seal, sender
from kvmweb.host.progress import Outcome

pytestmark = pytest.mark.pure

KEY = "k" * 32
texts = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(texts, values, max_size=5))
def test_what_was_sealed_opens_unchanged(payload: dict[str, Any]) -> None:
    envelope = seal("h1", KEY, payload)
    assert open_(KEY, envelope) == payload
    assert sender(envelope) == "h1"


def test_equal_payloads_have_one_text() -> None:
    assert seal("h1", KEY, {"a": 1, "b": 2}) == seal("h1", KEY, {"b": 2, "a": 1})


def test_dataclasses_are_sent_as_objects() -> None:
    envelope = seal("h1", KEY, {"outcome": Outcome(ok=True, generation=3)})
    assert open_(KEY, envelope)["outcome"]["generation"] == 3


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(Forged):
        open_("x" * 32, seal("h1", KEY, {"job": "1"}))


def test_a_changed_body_does_not_open() -> None:
    envelope = seal("h1", KEY, {"job": "1"})
    with pytest.raises(Forged):
        open_(KEY, {**envelope, "body": envelope["body"].replace("1", "2")})


@pytest.mark.parametrize(
    "envelope",
    [
        None,
        [],
        "text",
        {},
        {"host": "h1", "body": "{}"},
        {"host": "h1", "body": 5, "mac": "00"},
        {"host": "h1", "body": "\ud800", "mac": "00"},
        {"host": "h1", "body": "{}", "mac": "ä"},
        seal("h1", KEY, ["not", "an", "object"]),
    ],
)
def test_anything_else_is_forged(envelope: object) -> None:
    with pytest.raises(Forged):
        open_(KEY, envelope)


def test_an_empty_key_signs_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        seal("h1", "", {})


@pytest.mark.parametrize("envelope", [None, {}, {"host": ""}, {"host": 1}])
def test_an_envelope_without_sender_is_forged(envelope: object) -> None:
    with pytest.raises(Forged):
        sender(envelope)
