"""Kernel names from numbers, labels from what people type."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core import names
from kvmweb.core.errors import Invalid
from kvmweb.core.text import LONGEST_NAME, parse_label
from tests.refusals import result_of

pytestmark = pytest.mark.pure

NUMBERS = st.integers(min_value=1, max_value=2**40 - 1)


@given(NUMBERS)
def test_names_fit_the_kernel_and_lead_back_to_their_number(number: int) -> None:
    for prefix, name in (("kw", names.bridge(number)), ("kt", names.port(number))):
        assert re.fullmatch(prefix + "[0-9a-z]+", name)
        assert len(name) <= 15
        assert int(name.removeprefix(prefix), 36) == number


@given(NUMBERS)
def test_a_bridges_mac_is_unicast_local_and_its_own(number: int) -> None:
    octets = bytes.fromhex(names.bridge_mac(number).replace(":", ""))
    assert octets[0] & 0b11 == 0b10
    assert int.from_bytes(octets[1:], "big") == number


@pytest.mark.parametrize("number", [0, -1, 36**12])
def test_a_number_without_a_name_is_refused(number: int) -> None:
    for make in (names.bridge, names.port, names.bridge_mac):
        with pytest.raises(ValueError, match=str(number)):
            make(number)


@given(st.text(max_size=300))
def test_any_text_is_a_label_or_refused_with_its_field(text: str) -> None:
    label = result_of(Invalid, lambda: parse_label(text, field="hostname"))
    if isinstance(label, Invalid):
        assert (label.field, label.code) == ("hostname", "invalid_name")
        assert label.remedy
    else:
        assert label == text.strip()
        assert 0 < len(label) <= LONGEST_NAME
        assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("text", ["a", "web-1", "0", "x" * 63, "  web-1  ", "a--b"])
def test_host_name_labels_are_taken(text: str) -> None:
    assert parse_label(text) == text.strip()


@pytest.mark.parametrize("text", ["", "-", "a-", "-a", "x" * 64, "Web", "a.b", "<b>", "é", "a\nb"])
def test_what_no_host_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_label(text)
