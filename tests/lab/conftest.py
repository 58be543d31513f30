"""The lab: one per test process, its logs shown when a test failed."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.lab.lab import Lab, nothing_left


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab
    assert nothing_left(lab) == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab) and lab.folder.exists():
        report.sections.append(("logs of the lab", lab.logs()))
    return report
