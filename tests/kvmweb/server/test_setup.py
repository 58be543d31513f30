"""The set-up's stamps: done once, done again when what it is made of changed or was cut short."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kvmweb.server.places import CHECKOUT

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

PACKAGE = {"name": "x", "private": True, "scripts": {"build": "node static/build.js"}}
BUILD = """
import { mkdirSync, writeFileSync, appendFileSync } from "node:fs";
mkdirSync("static/dist", { recursive: true });
writeFileSync("static/dist/app.js", "built");
appendFileSync("built.log", "x");
"""


class Checkout:
    """A checkout with nothing in it but what the set-up looks at, and no dependency at all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "script" / "lib").mkdir(parents=True)
        shutil.copy(CHECKOUT / "script/lib/setup.bash", root / "script/lib")
        self.write("script/packages.txt", "[server]\nbash a shell\n")
        self.write("vms/builtin/packages.txt", "bash\n")
        self.write("requirements.txt", "# nothing\n")
        self.write("requirements-dev.txt", "# nothing at all\n")
        self.write("package.json", json.dumps({**PACKAGE, "type": "module"}))
        lock = {"name": "x", "lockfileVersion": 3, "requires": True, "packages": {"": {}}}
        self.write("package-lock.json", json.dumps(lock))
        self.write(".npmrc", "audit=false\n")
        self.write("static/build.js", BUILD)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(self, command: str) -> str:
        """What a step of the set-up said."""
        script = f"set -euo pipefail; source script/lib/setup.bash; {command}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.root, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_only_missing_packages_are_named_each_once_with_its_use(checkout: Checkout) -> None:
    checkout.write(
        "script/packages.txt",
        "# comment\n[server]\nbash a shell\nno-such-package for the test\n"
        "no-such-package again\n[test]\nno-such-tool for tests\n",
    )
    assert checkout.run("missing_packages server") == "no-such-package for the test\n"
    both = checkout.run("missing_packages server test").splitlines()
    assert both == ["no-such-package for the test", "no-such-tool for tests"]


def test_with_nothing_missing_nothing_is_said_or_asked(checkout: Checkout) -> None:
    assert checkout.run("debian_packages server") == ""


def test_python_packages_are_installed_once(checkout: Checkout) -> None:
    assert "making .venv" in checkout.run("python_packages requirements.txt")
    assert checkout.run("python_packages requirements.txt") == ""


def test_python_packages_are_installed_again_when_the_lock_changed(checkout: Checkout) -> None:
    checkout.run("python_packages requirements.txt")
    checkout.write("requirements.txt", "# something else\n")
    assert "making .venv" in checkout.run("python_packages requirements.txt")


def test_what_serves_the_tests_serves_the_panel(checkout: Checkout) -> None:
    checkout.run("python_packages requirements-dev.txt")
    assert checkout.run("python_packages requirements.txt") == ""


@pytest.mark.parametrize("harm", ["rm .venv/bin/python", "rm -r .venv/lib .venv/.kvmweb-*"])
def test_a_broken_or_half_made_venv_is_mended(checkout: Checkout, harm: str) -> None:
    checkout.run("python_packages requirements.txt")
    checkout.run(harm)
    assert "installing them" in checkout.run("python_packages requirements.txt")
    assert checkout.run(".venv/bin/python -m pip --version")
    assert checkout.run("python_packages requirements.txt") == ""


def test_the_front_end_is_built_once_and_again_after_a_change(checkout: Checkout) -> None:
    assert "bundling" in checkout.run("front_end")
    assert checkout.run("front_end") == ""
    checkout.write("static/js/new.js", "export {};\n")
    said = checkout.run("front_end")
    assert "bundling" in said
    assert "installing" not in said
    assert (checkout.root / "built.log").read_text() == "xx"


def test_a_bundle_that_was_removed_is_built_again(checkout: Checkout) -> None:
    checkout.run("front_end")
    shutil.rmtree(checkout.root / "static/dist")
    assert "bundling" in checkout.run("front_end")


def test_a_step_that_fails_shows_why_and_is_not_stamped(checkout: Checkout) -> None:
    checkout.write("static/build.js", "throw new Error('no such glue');\n")
    script = "set -euo pipefail; source script/lib/setup.bash; front_end"
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=checkout.root,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert "no such glue" in done.stderr


def test_two_set_ups_at_once_wait_for_each_other(checkout: Checkout) -> None:
    script = "source script/lib/setup.bash; with_setup_lock eval 'echo in; sleep 0.5; echo out'"
    both = [
        subprocess.Popen(
            ["bash", "-c", f"{script} >>both"], cwd=checkout.root, stdout=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    assert [process.wait(30) for process in both] == [0, 0]
    said = (checkout.root / "both").read_text().splitlines()
    assert [line for line in said if line in {"in", "out"}] == ["in", "out", "in", "out"]
