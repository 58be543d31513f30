"""The supervisor with real processes."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kvmweb.server.journal import Journal
from kvmweb.server.places import CHECKOUT
from kvmweb.server.remnants import Remnants
from kvmweb.server.supervisor import Program, Supervisor, until
from tests.netns import eventually

pytestmark = pytest.mark.kernel

SECONDS = 30.0
_SAY_AND_END = "trap 'echo {name} >> {file}; exit 0' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def supervisor(tmp_path: Path, screen: io.StringIO) -> Supervisor:
    journal = Journal(tmp_path / "log", screen)
    journal.quiet = False
    return Supervisor(journal, Remnants(tmp_path / "processes"), pause=0.05)


def shell(name: str, script: str, *, stage: int = 0, patience: float = 10.0) -> Program:
    return Program(name=name, command=("sh", "-c", script), stage=stage, patience=patience)


async def written(screen: io.StringIO, text: str) -> None:
    assert await until(lambda: text in screen.getvalue(), seconds=SECONDS), screen.getvalue()


@pytest.mark.asyncio
async def test_a_process_that_dies_is_started_again_and_said_so(
    supervisor: Supervisor, screen: io.StringIO
) -> None:
    supervisor.start(shell("worker", "exec sleep 1000"))
    assert await until(lambda: supervisor.pid("worker") is not None, seconds=SECONDS)
    first = supervisor.pid("worker")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert await until(lambda: supervisor.pid("worker") not in {None, first}, seconds=SECONDS)
    assert "worker was ended by SIGKILL; starting it again in 0.05 s." in screen.getvalue()
    await supervisor.stop()


@pytest.mark.asyncio
async def test_a_process_that_keeps_dying_is_started_ever_later(
    supervisor: Supervisor, screen: io.StringIO
) -> None:
    supervisor.start(shell("worker", "exit 3"))
    await written(screen, "worker ended with code 3; starting it again in 0.2 s.")
    await supervisor.stop()


@pytest.mark.asyncio
async def test_processes_end_in_the_order_of_their_stages(
    supervisor: Supervisor, screen: io.StringIO, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    for stage, name in enumerate(("redis", "web", "net")):
        supervisor.start(shell(name, _SAY_AND_END.format(name=name, file=ended), stage=stage))
    for name in ("redis", "web", "net"):
        await written(screen, f"{name:<8} up")
    await supervisor.stop()
    assert ended.read_text().split() == ["net", "web", "redis"]
    assert "starting it again" not in screen.getvalue()


@pytest.mark.asyncio
async def test_a_process_that_does_not_listen_is_killed(
    supervisor: Supervisor, screen: io.StringIO
) -> None:
    script = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
    supervisor.start(shell("worker", script, patience=0.2))
    await written(screen, "deaf")
    pid = supervisor.pid("worker")
    await asyncio.wait_for(supervisor.stop(), SECONDS)
    assert supervisor.pid("worker") is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


@pytest.mark.asyncio
async def test_a_child_that_keeps_the_pipe_open_does_not_hold_up_the_restart(
    supervisor: Supervisor, screen: io.StringIO
) -> None:
    supervisor.start(shell("worker", "sleep 1000 & echo $!; exit 1"))
    await written(screen, "worker ended with code 1")
    await supervisor.stop()
    for word in screen.getvalue().split():
        if word.isdecimal():
            os.kill(int(word), signal.SIGKILL)


_SUPERVISE = """
import asyncio, sys
from pathlib import Path
from kvmweb.server.journal import Journal
from kvmweb.server.remnants import Remnants
from kvmweb.server.supervisor import Program, Supervisor

async def main():
    folder = Path(sys.argv[1])
    journal = Journal(folder / "log")
    journal.quiet = False
    supervisor = Supervisor(journal, Remnants(folder / "processes"))
    stubborn = "trap : TERM; echo up; while :; do sleep 0.05; done"
    supervisor.start(Program(name="plain", command=("sleep", "1000")))
    supervisor.start(Program(name="stubborn", command=("sh", "-c", stubborn)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_killing_the_supervisor_ends_its_processes_and_the_rest_is_found(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SUPERVISE, str(tmp_path)]
    remnants = Remnants(tmp_path / "processes")
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT, text=True) as process:
        assert process.stdout is not None
        assert any("up" in line for line in process.stdout)
        assert eventually(lambda: len(remnants.alive()) == 2, SECONDS)
        process.kill()
    assert eventually(lambda: len(remnants.alive()) == 1, SECONDS), "only the stubborn one is left"
    assert remnants.end(patience=0.2)
    assert remnants.alive() == []


def test_a_process_of_another_birth_is_nobody_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "processes"
    file.write_text(f'{{"{os.getpid()}": 1}}')
    assert Remnants(file).alive() == []
    assert Remnants(file).end()


@pytest.mark.asyncio
async def test_a_process_knows_only_the_settings_it_is_given(
    supervisor: Supervisor, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMWEB_DATABASE_URL", "postgres://secret")
    command = ("sh", "-c", "env | grep ^KVMWEB_; echo listed; exec sleep 1000")
    supervisor.start(Program(name="vm", command=command, environment={"KVMWEB_STATE": "here"}))
    await written(screen, "listed")
    assert "KVMWEB_STATE=here" in screen.getvalue()
    assert "secret" not in screen.getvalue()
    await supervisor.stop()
