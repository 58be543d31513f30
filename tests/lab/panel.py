"""The control plane of a lab: web and control worker as processes, driven over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.lab.broker import wait_until
from tests.lab.host import PROCESSES, ROOT, LabHost
from tests.lab.lab import Lab

PASSWORD = "correct-horse-battery"
FINISHED = {"succeeded", "failed", "crashed", "cancelled"}


class Panel:
    """A panel with its own SQLite file, on a free port of the loopback interface.

    `redis_url` is what redis-py understands (`unix://…`). Users are made with `add_user`.
    """

    def __init__(self, folder: Path, redis_url: str, **settings: str) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: subprocess.Popen[str] | None = None
        self._env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.lab.settings",
            "KVMWEB_STATE": str(folder),
            "KVMWEB_SECRET_KEY": "only-for-the-lab",
            "KVMWEB_REDIS_URL": redis_url,
            "KVMWEB_SWEEP_INTERVAL": "2",
            "KVMWEB_JOB_LEASE": "6",
            "KVMWEB_PANEL_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        self._env.pop("PYTEST_CURRENT_TEST", None)

    def start(self) -> None:
        """Migrate, then start both processes; `wait` until the web answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--noinput", "--verbosity", "0")
        self.start_control()
        self._spawn("web", "kvmweb.server.web", "127.0.0.1", str(self.port))

    def wait(self) -> None:
        wait_until(self._answers, seconds=60, what="the web process")

    def start_control(self) -> None:
        self._spawn("control", "kvmweb.server.control")

    def kill(self, name: str) -> None:
        """End one process without warning."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Ask all processes to end, and make sure of it."""
        if self._commands is not None:
            self._commands.communicate()
            self._commands = None
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def manage(self, *arguments: str, **env: str) -> str:
        """What the manage.py command says."""
        if self._commands is None:
            self._commands = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.commands"],
                env=self._env,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._commands.stdin is not None
        assert self._commands.stdout is not None
        self._commands.stdin.write(json.dumps({"arguments": arguments, "env": env}) + "\n")
        self._commands.stdin.flush()
        answer = json.loads(self._commands.stdout.readline())
        if "failed" in answer:
            raise RuntimeError(f"{' '.join(arguments)}: {answer['failed']}")
        return str(answer["said"])

    def run(self, module: str, *arguments: str) -> str:
        """What a Python module prints when run with the panel's settings."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self._env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def sign_in(self, name: str) -> Callable[[str], str]:
        """A signed-in browser without script: it returns the page at a path."""
        session = requests.Session()
        session.get(f"{self.url}/login/", timeout=30).raise_for_status()
        token = session.cookies["csrftoken"]
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token}
        session.post(f"{self.url}/login/", data=form, timeout=30).raise_for_status()

        def page(path: str) -> str:
            answer = session.get(f"{self.url}{path}", timeout=30, allow_redirects=False)
            assert answer.status_code == requests.codes.ok, f"{path}: {answer.status_code}"
            return answer.text

        return page

    def add_operator(self, name: str) -> Client:
        """A new operator with PASSWORD and a client with their token, once all hosts have been
        heard: a new VM goes to the first of those."""
        self.manage(
            "createsuperuser",
            "--noinput",
            *("--username", name, "--email", f"{name}@example.com"),
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        )
        client = Client(self.url, self.manage("token", "create", name))
        wait_until(client.sees_all_hosts, seconds=60, what="all hosts")
        return client

    def serve_on(self, host: LabHost) -> None:
        """Web on a host's own loopback interface too, as where panel and host are one machine."""
        self._spawn("web-there", "kvmweb.server.web", "127.0.0.1", str(self.port), inside=host)

    def enrol(self, host: LabHost) -> list[str]:
        """Make a host of the lab known; the arguments that its programs are started with."""
        file = host.folder / "panel.toml"
        self.manage(
            *("host", "enrol", host.name, "--address", host.address, "--output", str(file)),
            *("--state", str(host.folder / "state"), "--run", str(host.folder / "kw")),
            *("--libvirt-uri", host.libvirt_uri),
        )
        return ["--config", str(file)]

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text()[-4000:]}" for path in self.folder.glob("*.log")
        )

    def _spawn(self, name: str, *module: str, inside: LabHost | None = None) -> None:
        place = ["ip", "netns", "exec", inside.namespace.name] if inside else []
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*place, sys.executable, "-m", *module],
                env=self._env,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def _answers(self) -> bool:
        if self.processes["web"].poll() is not None:
            raise RuntimeError(f"the web process ended\n{self.logs()}")
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            return False


class Client:
    """A program that drives the panel with an API token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, path: str, body: object = None) -> requests.Response:
        """The answer, whatever it is. `path` is below /api/v1/ or absolute."""
        url = path if path.startswith("http") else f"{self.url}/api/v1/{path}"
        return self._session.request(method, url, json=body, timeout=30)

    def get(self, path: str) -> Any:
        return _ok(self.request("GET", path))

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        return _ok(self.request("POST", path, body or {}))

    def delete(self, path: str) -> Any:
        return _ok(self.request("DELETE", path))

    def job(self, path: str, *, seconds: float = 120) -> dict[str, Any]:
        """The job at this path or URL once it has ended, however it did."""
        limit = time.monotonic() + seconds
        while True:
            job: dict[str, Any] = self.get(path)
            if job["status"] in FINISHED:
                return job
            if time.monotonic() > limit:
                raise TimeoutError(f"still {job['status']}: {job['title']}: {job['steps']}")
            time.sleep(0.05)

    def do(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """POST, wait for the job to succeed, and return the object as it is then."""
        made = self.post(path, body)
        self.succeed(made["job"])
        return made

    def sees_all_hosts(self) -> bool:
        """Whether no host is silent."""
        return all(host["state"] == "active" for host in self.get("hosts/")["results"])

    def succeed(self, job: Any) -> dict[str, Any]:
        """Wait for a job (its id, or as shown with an object) and insist that it succeeded."""
        identity = job["id"] if isinstance(job, dict) else job
        ended = self.job(f"jobs/{identity}/")
        assert ended["status"] == "succeeded", ended
        return ended


@contextmanager
def panel_of(lab: Lab, **settings: str) -> Iterator[Panel]:
    """A panel whose hosts are those of the lab, all at work, with the built-in image published.

    `settings` go into its environment; by default it is more hurried than the product.
    """
    panel = Panel(lab.folder / "panel", f"unix://{lab.broker.socket}", **settings)
    try:
        panel.start()
        panel.manage("image", "publish", "hello", str(built_image()))
        for host in lab.hosts.values():
            arguments = panel.enrol(host)
            for program in PROCESSES:
                host.start(program, sys.executable, "-m", "kvmweb.host", program, *arguments)
        panel.wait()
        yield panel
    finally:
        panel.stop()


def built_image() -> Path:
    """The built-in image, made by the set-up of the tests (or now, where that has not run)."""
    image = ROOT / ".cache/image/hello.qcow2"
    if not image.exists():
        subprocess.run([ROOT / "script/build-image", image], check=True)
    return image


def _ok(response: requests.Response) -> Any:
    if not response.ok:
        raise AssertionError(
            f"{response.status_code} {response.request.url}: {response.text[:2000]}"
        )
    return response.json() if response.content else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
