"""The lab of the host side's kernel tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import remove_stale
from tests.networks.host.lab import Lab


@pytest.fixture(scope="session", autouse=True)
def _no_stale_namespaces() -> None:
    remove_stale()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()
