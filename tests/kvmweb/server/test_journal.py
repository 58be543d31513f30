"""What the person in front sees of the processes' logs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kvmweb.server.journal import Journal

pytestmark = pytest.mark.pure


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def journal(tmp_path: Path, screen: io.StringIO) -> Journal:
    return Journal(tmp_path / "log", screen)


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-02 10:11:12,345 INFO    kvmweb: ready",
        "2026-11-02 10:11:12.345 net INFO    kvmweb: ready",
        "4711:M 02 Nov 2026 10:11:12.345 INFO    kvmweb: ready",
    ],
)
def test_the_stamps_of_the_processes_make_way_for_one(
    journal: Journal, screen: io.StringIO, line: str
) -> None:
    journal.quiet = False
    journal.line("net", line)
    shown = screen.getvalue()
    assert shown[8:] == " net      INFO    kvmweb: ready\n"


def test_while_quiet_only_warnings_are_shown_but_all_are_kept(
    journal: Journal, screen: io.StringIO, tmp_path: Path
) -> None:
    journal.line("web", "INFO loaded")
    journal.line("web", "WARNING the disk is nearly full")
    assert "loaded" not in screen.getvalue()
    assert "nearly full" in screen.getvalue()
    assert "loaded" in (tmp_path / "log").read_text()


def test_a_guest_cannot_write_to_the_terminal_through_a_log(
    journal: Journal, screen: io.StringIO
) -> None:
    journal.quiet = False
    journal.line("web", "name \x1b]0;owned\x07 of a VM")
    assert "\x1b" not in screen.getvalue()


def test_a_terminal_that_went_away_is_no_error(journal: Journal, screen: io.StringIO) -> None:
    screen.close()
    journal.say("Somebody may be there.")


def test_the_log_is_for_root_alone(journal: Journal, tmp_path: Path) -> None:
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
