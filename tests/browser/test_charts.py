"""Charts of what was measured: drawn under a strict CSP, fit to be seen in every look, in step
with what the host tells."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from playwright.sync_api import expect

from kvmweb.hosts import watching
from kvmweb.hosts.models import Host
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import HOST, VM, Values
from networks.models import Network
from tests.browser.conftest import TIMEOUT_MS, Panel
from tests.browser.test_look import LOOKS, examine, shoot
from tests.lab.broker import wait_until
from tests.vms.test_live import asked
from vms.models import Vm

__all__ = ["asked"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture
def rings(settings: LazySettings, tmp_path: Path) -> Rings:
    settings.KVMWEB_METRICS = str(tmp_path / "metrics")
    return Rings(tmp_path / "metrics")


def wave(at: int) -> Values:
    """A guest that works in turns."""
    busy = (1 + math.sin(at / 9)) / 2
    memory, mega = float(512 << 20), 1e6
    return (
        busy * 0.7, memory, memory * (0.4 + busy / 5), memory * 0.8,
        busy * 3 * mega, busy * mega, busy * 90, busy * 40,
        busy * 4 * mega, mega / 2, busy * 900, 200.0, 0.0,
    )  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_charts_are_drawn_and_fit_to_be_seen(
    look: str, panel: Panel, rings: Rings, vm: Vm, host: Host, alice: User
) -> None:
    theme, size, rules = LOOKS[look]
    panel.use_theme(theme)
    panel.resize(*size)
    panel.log_in(alice)
    panel.open(f"/vms/{vm.uuid}/metrics/")
    panel.page.get_by_text("No data yet. Figures show up").wait_for()
    wrong = examine(panel, "no metrics", *rules)
    now = int(time.time() // 10)
    told = [at for at in range(now - 400, now) if not now - 200 < at < now - 150]
    rings.put(VM, vm.uuid, {at: wave(at) for at in told})
    rings.put(HOST, host.uuid, dict.fromkeys(told, (0.5, 1e9, 1.0)))
    panel.open(f"/vms/{vm.uuid}/metrics/?span=1h")
    charts = panel.page.locator("figure.chart")
    for number in range(charts.count()):
        chart = charts.nth(number)
        chart.locator("canvas").wait_for()
        assert int(chart.get_attribute("data-points") or 0) >= 359
    assert charts.count() == 6
    panel.page.get_by_text("The same as a table").click()
    assert panel.page.get_by_role("row").count() > 10
    shoot(panel, f"metrics-{look}")
    wrong += examine(panel, "metrics", *rules)
    assert wrong == []
    assert panel.complaints == []


@pytest.mark.parametrize("kind", ["vm", "network"])
def test_charts_go_on_while_somebody_looks(
    kind: str,
    panel: Panel,
    rings: Rings,
    asked: list[Any],
    vm: Vm,
    network: Network,
    alice: User,
) -> None:
    panel.log_in(alice)
    panel.open(f"/vms/{vm.uuid}/metrics/" if kind == "vm" else f"/networks/{network.uuid}/metrics/")
    region = panel.page.locator("[data-charts]")
    expect(region).to_have_attribute("data-live", re.compile(r"^[3-9]|\d\d"))
    chart = panel.page.locator("figure.chart").first
    chart.locator("canvas").wait_for()
    assert int(chart.get_attribute("data-points") or 0) >= 3
    assert asked
    panel.open("/vms/")
    wait_until(lambda: not watching._watched, what="the end of asking")
    assert panel.complaints == []
