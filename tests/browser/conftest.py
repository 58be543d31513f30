"""The panel as people meet it: a real ASGI server, a real Redis, real Chromium."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from django.conf import LazySettings
from django.contrib.auth.models import User
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from kvmweb.asgi import application
from tests.browser.world import pages
from tests.cast import PASSWORD
from tests.lab.broker import Broker, wait_until

ROOT = Path(__file__).parent.parent.parent
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
TIMEOUT_MS = 20_000
__all__ = ["pages"]


@pytest.fixture(scope="session")
def bundle() -> None:
    """What esbuild makes of static/, as the set-up makes it."""
    subprocess.run(["node", "static/build.js"], cwd=ROOT, check=True, timeout=60)


@pytest.fixture
def redis(tmp_path: Path, settings: LazySettings) -> Iterator[None]:
    """A Redis of the test's own that carries the words from the test to the sockets."""
    broker = Broker(tmp_path)
    broker.start()
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [f"unix://{broker.socket}"]},
        }
    }
    yield
    broker.stop()


class Web:
    """The web process. Stopped and started again it keeps its address."""

    def __init__(self) -> None:
        self._port = 0
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        config = uvicorn.Config(
            application,
            host="127.0.0.1",
            port=self._port,
            log_level="warning",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: server.started, what="the panel")
        self._port = server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(timeout=30)


@pytest.fixture
def web(transactional_db: None, bundle: None, redis: None) -> Iterator[Web]:
    """A running panel."""
    web = Web()
    web.start()
    yield web
    web.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # Playwright keeps an event loop in this thread, which Django takes for an async caller. It ends
    # with the module, so that asynchronous tests find the thread without one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield from _chromium()


def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=FLAGS.split()
        )
        yield browser
        browser.close()


@dataclass
class Panel:
    """A person's browser at the panel. `complaints` is what its console had to say."""

    address: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def log_in(self, user: User) -> None:
        self.open("/login/")
        self.page.get_by_label("Username").fill(user.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(lambda url: "/login/" not in url)

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)

    def wait_until_live(self) -> None:
        """Until the page's socket is open and hears what happens."""
        self.page.locator("html[data-live]").wait_for(state="attached")

    def use_theme(self, theme: str) -> None:
        self.context.add_cookies([{"name": "theme", "value": theme, "url": self.address}])

    def resize(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return int(wide)

    def violations(self, *rules: str) -> list[str]:
        """What axe finds against these rules, or else against all of WCAG 2.2, A and AA."""
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        wanted = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": tags}
        found: dict[str, Any] = Axe().run(self.page, options={"runOnly": wanted}).response
        return [
            f"{rule['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]


@pytest.fixture
def panel(web: Web, chromium: Browser) -> Iterator[Panel]:
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    panel = Panel(web.address, context, page)

    def complain(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            panel.complaints.append(message.text)

    page.on("console", complain)
    page.on("pageerror", lambda error: panel.complaints.append(str(error)))
    yield panel
    context.close()
