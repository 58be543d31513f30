"""The panel as a name on the shared 443, beside the names of networks."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from kvmweb.core.secret import conceal
from kvmweb.host.progress import silent
from networks.host.drivers.haproxy import HaProxy
from networks.host.proxy import SEALED_FOR
from networks.host.spec import PanelSpec
from networks.host.watch import Watcher
from tests.netns import eventually
from tests.networks.host.lab import KEY, OUTSIDE, PUBLIC, SECOND_PUBLIC, Lab, absent
from tests.networks.host.test_certificates import digest, fresh
from tests.networks.host.test_host_names import A, World, proxied, proxies, world
from tests.web import ask_http, ask_https, client_context, serve_http

pytestmark = pytest.mark.kernel
__all__ = ["world"]

NAME = "panel.example.net"


def panel(file: Path, **more: object) -> PanelSpec:
    made = PanelSpec(
        subject="00000000-0000-0000-0000-00000000000a",
        epoch=1,
        generation=1,
        present=True,
        owner="panel1",
        name=NAME,
        public_address=PUBLIC,
        address="127.0.0.1",
        port=8000,
        certificate=digest(file),
        sealed_pem=conceal(KEY, SEALED_FOR, file.read_bytes()),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def test_the_panel_is_served_before_and_after_all_networks(lab: Lab) -> None:
    file = fresh(lab, "panel", NAME)
    close = serve_http(lab.host, "the panel", 8000)
    with lab.reconciler() as reconciler:
        said = [op.sentence for op in reconciler.preview_panel(panel(file))]
        assert said[0] == "Stored 1 certificate"
        outcome = reconciler.apply_panel(panel(file), silent)
        assert outcome.ok, outcome.message
        assert reconciler.check_panel(panel(file)) == []
        status, text = ask_https(lab.internet, PUBLIC, NAME, client_context(file))
        assert (status, text.splitlines()[0]) == (200, "the panel")
        assert f"x-forwarded-for: {OUTSIDE}" in text.lower()
        assert "x-forwarded-proto: https" in text.lower()
        assert ask_http(lab.internet, PUBLIC, NAME)[0] == 308
        assert reconciler.apply_panel(panel(file, present=False), silent).ok
    assert proxies(lab) == []
    close()


def test_it_shares_the_address_with_names_of_networks(world: World) -> None:
    lab, file = world.lab, fresh(world.lab, "panel", NAME)
    close = serve_http(lab.host, "the panel", 8000)
    with lab.reconciler() as reconciler:
        for spec in (world.with_names, world.two):
            assert reconciler.apply(spec, silent).ok
        assert reconciler.apply_panel(panel(file), silent).ok
        assert reconciler.check(world.two) == ()
        assert world.tls(A) == f"tls of {A}"
        assert world.http(A) == f"web of {A}"
        for spec in (absent(world.with_names), absent(world.two)):
            assert reconciler.apply(spec, silent).ok
        assert proxied(lab) == {(PUBLIC, 80), (PUBLIC, 443)}
        assert ask_https(lab.internet, PUBLIC, NAME, client_context(file))[0] == 200
        moved = panel(file, public_address=SECOND_PUBLIC)
        assert reconciler.apply_panel(moved, silent).ok
        assert proxied(lab) == {(SECOND_PUBLIC, 80), (SECOND_PUBLIC, 443)}
        assert not HaProxy(lab.paths.run / "haproxy").counted()
    close()


def test_it_comes_back_when_the_proxy_was_killed(lab: Lab) -> None:
    file = fresh(lab, "panel", NAME)
    close = serve_http(lab.host, "the panel", 8000)
    with lab.reconciler() as reconciler:
        assert reconciler.apply_panel(panel(file), silent).ok
        with lab.host.entered():
            watcher = Watcher(reconciler, lambda _drift: None)
            watcher.start()
        try:
            before = proxies(lab)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: set(proxies(lab)) - set(before), 20)
            assert eventually(lambda: reconciler.check_panel(panel(file)) == [], 20)
            assert ask_https(lab.internet, PUBLIC, NAME, client_context(file))[0] == 200
        finally:
            watcher.close()
    close()


def test_what_cannot_be_served_is_refused_with_the_reason(lab: Lab) -> None:
    file = fresh(lab, "panel", NAME)
    lab.host.tcp_server(443, SECOND_PUBLIC)
    with lab.reconciler() as reconciler:
        for change, code in (
            ({"public_address": SECOND_PUBLIC}, "port_in_use"),
            ({"public_address": "198.51.100.77"}, "no_such_address"),
            ({"sealed_pem": "x"}, "certificate_unusable"),
            ({"name": "no name"}, "bad_spec"),
        ):
            outcome = reconciler.apply_panel(panel(file, **change), silent)
            assert (outcome.ok, outcome.code) == (False, code)
        assert proxies(lab) == []
