"""What the settings of an installation promise, asked of a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[2]


def asked(expression: str, state: Path, **more: str) -> str:
    """What `expression` is when the settings of one machine are loaded."""
    program = f"from kvmweb.settings import single as s; print({expression})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "PATH": os.environ["PATH"],
            "KVMWEB_STATE": str(state),
            "KVMWEB_SECRET_KEY": "x",
            **more,
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_what_the_panel_writes_is_its_owners_alone(tmp_path: Path) -> None:
    asked("open(s.STATE_DIR / 'written', 'w').close()", tmp_path)
    assert (tmp_path / "written").stat().st_mode & 0o777 == 0o600


def test_behind_https_cookies_are_out_of_reach_of_other_ports(tmp_path: Path) -> None:
    names = "(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE)"
    answer = asked(names, tmp_path, KVMWEB_HTTPS="1")
    assert answer == "('__Host-sessionid', '__Host-csrftoken', True)"


def test_a_missing_secret_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        asked("s", tmp_path, KVMWEB_SECRET_KEY_FILE=str(tmp_path / "nowhere"))
    assert "KVMWEB_SECRET_KEY_FILE: cannot read" in failed.value.stderr
