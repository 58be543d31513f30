"""The host's programs: light, without Django, and patient with their broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery

from kvmweb.core.envelope import seal
from kvmweb.host.ask import Answering, ask
from kvmweb.host.config import HostConfig
from tests.lab.broker import Broker, Control, wait_until

ROOT = Path(__file__).resolve().parents[3]
MODULES = ["net", "vm", "monitor", "restore", "check", "reset", "cli"]

NO_DJANGO = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    import_module("kvmweb.host.program." + name)
assert not [m for m in sys.modules if m.startswith(("django.conf", "django.db", "django.apps"))]
"""

MODEL = """
import runpy, sys
sys.argv = ["kvmweb.host", "--help"]
try:
    runpy.run_module("kvmweb.host", run_name="__main__")
except SystemExit:
    pass
assert sys.modules["django"] is None
try:
    import networks.models
except ImportError:
    print("refused")
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env=environment(**more)
    )


@pytest.mark.pure
@pytest.mark.parametrize("settings", [{}, {"DJANGO_SETTINGS_MODULE": "does.not.exist"}])
def test_no_program_of_a_host_sets_up_django(settings: dict[str, str]) -> None:
    done = python("-c", NO_DJANGO, *MODULES, **settings)
    assert done.returncode == 0, done.stderr


@pytest.mark.pure
def test_importing_a_model_on_a_host_fails_loudly() -> None:
    done = python("-c", MODEL)
    assert done.stdout.endswith("refused\n"), done.stderr


@pytest.mark.pure
def test_a_configuration_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    done = python("-m", "kvmweb.host", "check", "--config", str(tmp_path / "none.toml"))
    assert done.returncode == 2
    assert done.stderr.strip().endswith("none.toml cannot be read: No such file or directory")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.pure
def test_a_running_process_answers_questions(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    assert ask(path, "check") is None
    with Answering(path, {"check": lambda: [1, 2], "restore": lambda: 1 / 0}):
        assert path.stat().st_mode & 0o777 == 0o600
        assert ask(path, "check") == [1, 2]
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            ask(path, "restore")
        with pytest.raises(RuntimeError, match="unknown question"):
            ask(path, "sing")
    assert ask(path, "check") is None


@pytest.fixture
def slow_worker(config: HostConfig, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    file = tmp_path / "host.json"
    entries = {"name": "h1", "broker": config.broker, "key": config.key}
    file.write_text(json.dumps({**entries, "state": "state", "run": "run"}))
    command = [sys.executable, "-m", "tests.kvmweb.host.slow_worker", str(file)]
    with (tmp_path / "worker.log").open("ab") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log, env=environment(), cwd=ROOT)
    yield worker
    worker.kill()
    worker.wait()


def send(config: HostConfig) -> str:
    job = str(uuid4())
    spec = {"subject": str(uuid4()), "epoch": 1, "generation": 3, "bridge": "kw1"}
    payload = {"job": job, "kind": "network", "attempt": 1, "spec": spec}
    envelope = seal("h1", config.key, payload)
    sender = Celery("panel", broker=config.broker, fixups=[], set_as_current=False)
    with sender.connection_for_write() as connection:
        sender.send_task(
            "networks.apply", args=[envelope], queue=config.net_queue, connection=connection
        )
    return job


@pytest.mark.kernel
def test_an_outcome_arrives_though_the_broker_was_stopped_and_wiped_in_mid_job(
    config: HostConfig,
    broker: Broker,
    control: Control,
    slow_worker: subprocess.Popen[bytes],
    tmp_path: Path,
) -> None:
    job = send(config)
    wait_until(lambda: control.steps(job), what="the first step")
    broker.stop()
    (tmp_path / "go").touch()
    outbox = config.paths.outbox / "net"
    wait_until(lambda: list(outbox.glob("*.json")), what="an outcome kept on disk")
    broker.start()
    assert control.outcome(job)["generation"] == 3
    assert [step["sentence"] for step in control.steps(job)] == ["Waiting", "Waited"]
    wait_until(lambda: not list(outbox.glob("*.json")), what="an empty outbox")
    again = send(config)
    assert control.outcome(again)["ok"]


@pytest.mark.kernel
def test_a_worker_starts_without_a_broker_and_ends_when_told(
    config: HostConfig,
    broker: Broker,
    control: Control,
    slow_worker: subprocess.Popen[bytes],
    tmp_path: Path,
) -> None:
    wait_until(lambda: control.of("kvmweb.hosts.heartbeat", process="net"), what="a heartbeat")
    broker.stop()
    assert wait_until(lambda: ask(config.paths.run / "net.sock", "check") == [])
    broker.start()
    (tmp_path / "go").touch()
    assert control.outcome(send(config))["ok"]
    slow_worker.terminate()
    assert slow_worker.wait(30) == 0
