"""What docs/capabilities.md says is shown, is shown by a test of that name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/capabilities.md"
STATES = {"works", "partly", "not yet", "refused"}


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in found if cells[0] != "capability"]


def test_every_test_that_is_named_exists() -> None:
    known = {
        name
        for path in (ROOT / "tests").glob("**/test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    assert named - known == set()


def test_every_row_says_a_state_and_what_stands_behind_it() -> None:
    assert len(rows()) > 50
    for capability, state, why in rows():
        assert state in STATES, capability
        assert why or state == "not yet", capability
        assert "`test_" in why or state != "works", capability
