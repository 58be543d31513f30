"""Consoles as people have them: real Chromium, a real host, a real guest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.lab.broker import wait_until
from tests.lab.lab import Lab
from tests.lab.panel import PASSWORD, Client, Panel, panel_of
from tests.lab.test_main_job import CHROMIUM, new_vm

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

SHOTS = os.environ.get("SHOTS", "")
PATIENCE = 90_000
# A guest's keyboard holds 16 bytes (ms between keys).
PACE = 40
KEYS = {
    "\n": "Enter",
    " ": "Space",
    "$": "Shift+Digit4",
    "(": "Shift+Digit9",
    ")": "Shift+Digit0",
    "*": "Shift+Digit8",
    ">": "Shift+Period",
    "S": "Shift+KeyS",
}
# No password to wait for, and a mark that root may log in by now.
LET_ROOT_IN = """#cloud-config
runcmd:
  - sed -i s/^root:[^:]*:/root::/ /etc/shadow
  - echo root-may-come
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of this file's own: its hosts belong to a panel."""
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def panel(lab: Lab) -> Iterator[Panel]:
    with panel_of(lab) as panel:
        yield panel


@contextmanager
def browser_of(panel: Panel, name: str) -> Iterator[tuple[BrowserContext, list[str]]]:
    """A signed-in browser, and what its console had to say."""
    said: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PATIENCE)
        context.on(
            "console",
            lambda one: said.append(one.text) if one.type in {"error", "warning"} else None,
        )
        context.on("weberror", lambda error: said.append(str(error.error)))
        page = context.new_page()
        page.goto(f"{panel.url}/login/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login/" not in url)
        yield context, said
        chromium.close()


def opened(context: BrowserContext, panel: Panel, vm: str, kind: str) -> Page:
    page = context.new_page()
    page.goto(f"{panel.url}/vms/{vm}/console/?kind={kind}")
    expect(page.locator("[data-console]")).to_have_attribute("data-shows", "open", timeout=PATIENCE)
    return page


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def says(page: Page, text: str) -> None:
    """Until the terminal shows it."""
    expect(page.locator(".xterm-rows")).to_contain_text(text, timeout=PATIENCE)


def typed(page: Page, text: str) -> None:
    """As fingers do it: a guest is told of keys, not of characters."""
    for character in text:
        page.keyboard.press(KEYS.get(character, character), delay=PACE)


def test_people_type_into_a_guest_and_read_its_answer(lab: Lab, panel: Panel) -> None:
    olga: Client = panel.add_operator("olga")
    vm = olga.do("vms/", new_vm("typed", user_data=LET_ROOT_IN))["id"]
    with browser_of(panel, "olga") as (context, said):
        serial = opened(context, panel, vm, "serial")
        expect(serial.locator("[data-people]")).to_have_text("You type.")
        says(serial, "root-may-come")
        says(serial, "typed login:")
        serial.keyboard.type("root\n")
        says(serial, "root@typed:~#")
        serial.keyboard.type("echo $((6 * 7))-serial\n")
        says(serial, "42-serial")
        shoot(serial, "serial")

        screen = opened(context, panel, vm, "graphical")
        canvas = screen.locator("[data-stage] canvas")
        expect(canvas).to_have_attribute("width", "720", timeout=PATIENCE)
        canvas.click()
        # Root's answers to the screen are read where root listens too: on the serial line.
        typed(screen, "root\n")
        says(serial, "root login on 'tty1'")
        typed(screen, "echo $((7 * 7))-screen > /dev/ttyS0\n")
        shoot(screen, "screen")
        says(serial, "49-screen")
        screen.get_by_text("Clipboard").click()
        screen.get_by_label("Text to type").fill('echo "$((8 * 8))|typed" > /dev/ttyS0\n')
        screen.get_by_role("button", name="Type it into the guest").click()
        says(serial, "64|typed")
        shoot(screen, "screen")

        second = opened(context, panel, vm, "serial")
        says(second, "64|typed")  # what was said before is there
        expect(second.locator("[data-people]")).to_contain_text("olga types; you look on.")
        second.keyboard.type("echo $((9 * 9))-lost\n")
        second.get_by_role("button", name="Take over").click()
        expect(second.locator("[data-people]")).to_contain_text("You type.")
        expect(serial.locator("[data-people]")).to_contain_text("olga took over and types now")
        second.locator("[data-stage]").click()
        second.keyboard.type("echo $((3 * 3))-taken\n")
        says(serial, "9-taken")
        says(second, "9-taken")
        expect(second.locator(".xterm-rows")).not_to_contain_text("81-lost")

        listed = context.new_page()
        listed.goto(f"{panel.url}/vms/")
        small = listed.get_by_alt_text("Console of typed")
        expect(small).to_be_visible()
        wait_until(lambda: small.evaluate("image => image.naturalWidth > 100"), seconds=90)
        shoot(listed, "listed")

        olga.do(f"vms/{vm}/force-off/")
        for page in (serial, screen, second):
            expect(page.get_by_text("typed is off")).to_be_visible(timeout=PATIENCE)
        shoot(serial, "off")
        serial.locator("[data-stage]").locator("..").get_by_role("button", name="Start").click()
        says(serial, "login:")
        expect(screen.locator("[data-console]")).to_have_attribute(
            "data-shows", "open", timeout=PATIENCE
        )

        # The host's monitor dies: the line is lost, and found again once it is back.
        lab.h1.kill("monitor")
        expect(serial.locator("[data-console]")).not_to_have_attribute(
            "data-shows", "open", timeout=PATIENCE
        )
        assert said == []
    assert lab.h1.run("ss", "-Hltn", "sport >= 5900 and sport <= 5999") == ""
