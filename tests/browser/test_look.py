"""Every page in light, in dark and on a small phone: accessible, inside its window, no complaint.

With SHOTS set to a folder, a picture of each is left there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.browser.conftest import Panel

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
SHOTS = os.environ.get("SHOTS", "")
DESK, PHONE = (1280, 860), (320, 640)
# Theme, window, and the rules that this look may break where the first one does not; () means all.
LOOKS: dict[str, tuple[str, tuple[int, int], tuple[str, ...]]] = {
    "light": ("light", DESK, ()),
    "dark": ("dark", DESK, ("color-contrast",)),
    "phone": ("light", PHONE, ("target-size", "link-name", "button-name", "summary-name")),
}


def shoot(panel: Panel, name: str) -> None:
    if SHOTS:
        panel.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def examine(panel: Panel, name: str, *rules: str) -> list[str]:
    """All that is wrong with the page that is open."""
    wrong = [f"{name}: {violation}" for violation in panel.violations(*rules)]
    if (pixels := panel.overflow()) > 0:
        wrong.append(f"{name}: {pixels} px wider than the window")
    return wrong


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_fit_to_be_seen(
    look: str, panel: Panel, pages: dict[str, str], olga: User
) -> None:
    theme, size, rules = LOOKS[look]
    panel.use_theme(theme)
    panel.resize(*size)
    panel.open("/login/")
    wrong = examine(panel, "login", *rules)
    shoot(panel, f"login-{look}")
    panel.log_in(olga)
    for name, path in pages.items():
        panel.open(path)
        shoot(panel, f"{name}-{look}")
        wrong += examine(panel, name, *rules)
    assert wrong + panel.complaints == []


def test_an_empty_panel_says_what_to_do_next(panel: Panel, mallory: User) -> None:
    panel.log_in(mallory)
    for name in ("", "vms", "networks", "forwards", "images", "activity", "vms/new"):
        panel.open(f"/{name}/" if name else "/")
        shoot(panel, f"empty-{name.replace('/', '-') or 'overview'}")
        assert examine(panel, name) == []
    assert panel.complaints == []
