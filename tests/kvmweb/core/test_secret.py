"""What was concealed is revealed with the same key for the same purpose, and by nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.secret import Unreadable, conceal, reveal

pytestmark = pytest.mark.pure

KEY = "k" * 64


@given(st.binary(max_size=200))
def test_what_was_concealed_is_revealed(text: bytes) -> None:
    assert reveal(KEY, "a", conceal(KEY, "a", text)) == text


def test_it_says_nothing_and_never_the_same() -> None:
    first, second = (conceal(KEY, "a", b"the secret") for _ in range(2))
    assert first != second
    assert first.isascii()
    assert "secret" not in first


@pytest.mark.parametrize(
    ("key", "purpose", "cut"), [("other", "a", 0), (KEY, "b", 0), (KEY, "a", 4), ("", "a", 0)]
)
def test_nothing_else_reveals_it(key: str, purpose: str, cut: int) -> None:
    concealed = conceal(KEY, "a", b"the secret")
    with pytest.raises(Unreadable):
        reveal(key, purpose, concealed[cut:])
    with pytest.raises(Unreadable):
        reveal(KEY, "a", "no base64 at all")


def test_without_a_key_nothing_is_concealed() -> None:
    with pytest.raises(Unreadable):
        conceal("", "a", b"the secret")
