"""The whole way from nothing running to a panel that was seen to work, then staying in front."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kvmweb.server import demo, programs, redis
from kvmweb.server.journal import Journal
from kvmweb.server.machine import refusal
from kvmweb.server.panel import Panel, Refused, Unreachable, wait_for
from kvmweb.server.places import CHECKOUT, Places
from kvmweb.server.remnants import Remnants
from kvmweb.server.steps import Steps
from kvmweb.server.supervisor import Supervisor, until

REDIS_SECONDS = 30.0
WEB_SECONDS = 60.0
HOST_SECONDS = 90.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_FIRST = "Starting the panel for the first time; this takes some seconds."
_HEARD = ("monitor_seen_at", "net_seen_at", "vm_seen_at")


class CannotStart(Exception):
    """The text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for on the command line."""

    places: Places
    listen: str = "127.0.0.1"
    port: int = 8000
    demo: bool = True


async def serve(wanted: Wanted, journal: Journal) -> int:
    """Start, stay until told to end, end everything in order; returns the exit code."""
    remnants = Remnants(wanted.places.children)
    server = Server(wanted, journal, Supervisor(journal, remnants))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(server.start(remnants))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    code = 0
    if starting.done() and (error := starting.exception()) is not None:
        code = 1
        journal.say(_reason(error, wanted.places))
    else:
        await stopping
    server.stop.set()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    journal.say("")
    journal.say("Stopping the panel. Guests and networks go on.")
    await server.supervisor.stop()
    return code


def _reason(error: BaseException, places: Places) -> str:
    if isinstance(error, CannotStart):
        return str(error)
    return f"The start failed unexpectedly: {error!r}. The log is in {places.log}."


class Server:
    """One start. `stop`, once set, ends what waits in a thread."""

    def __init__(self, wanted: Wanted, journal: Journal, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.stop = threading.Event()
        self._wanted = wanted
        self._places = wanted.places
        self._journal = journal

    async def start(self, remnants: Remnants) -> None:
        """Bring everything up in order; raises CannotStart."""
        begun = datetime.now(UTC)
        await self._clear(remnants)
        first = not self._places.secret_key.exists()
        self._journal.say("Starting the panel." if not first else _FIRST)
        programs.secret_key(self._places)
        settings = programs.environment(
            self._places, listen=self._wanted.listen, port=self._wanted.port
        )
        redis.configure(self._places)
        self.supervisor.start(programs.redis(self._places))
        libvirt = await self._answer_of("kvmweb.server.libvirtd", settings)
        facts = await self._answer_of(
            "kvmweb.server.prepare", {**settings, "KVMWEB_LIBVIRT_URI": libvirt["uri"]}
        )
        await self._redis()
        for program in (
            *programs.panel(settings, listen=self._wanted.listen, port=self._wanted.port),
            *programs.host(self._places),
        ):
            self.supervisor.start(program)
        panel = await self._web(facts["token"])
        await self._host(panel, facts["host"], begun)
        self._welcome(facts)
        if self._wanted.demo:
            await self._demo(panel)
        self._journal.say("")
        self._journal.say(f"Logs follow, and are kept in {self._places.log}.")
        self._journal.say("Ctrl-C stops the panel; guests and networks go on.")
        self._journal.quiet = False

    async def _clear(self, remnants: Remnants) -> None:
        if remnants.alive():
            self._journal.say("Waiting for processes of the last start to end.")
            if not await asyncio.to_thread(remnants.end):
                left = ", ".join(map(str, remnants.alive()))
                raise CannotStart(f"Processes of the last start do not end: {left}. Kill them.")
        if reason := refusal(self._wanted.listen, self._wanted.port):
            raise CannotStart(reason)

    async def _answer_of(self, module: str, settings: dict[str, str]) -> dict[str, Any]:
        """The JSON object that a helper program answers; what else it writes goes to the log."""
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", module),
            *(str(self._places.state), str(self._places.run)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **settings},
            cwd=CHECKOUT,
            start_new_session=True,
        )
        try:
            output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.terminate()
        lines = errors.decode(errors="replace").splitlines()
        for line in lines:
            self._journal.line(module.rpartition(".")[2], line)
        if process.returncode:
            last = lines[-1] if lines else f"{module} ended with code {process.returncode}."
            raise CannotStart(f"{last}\nThe log is in {self._places.log}.")
        answer: dict[str, Any] = json.loads(output)
        for sentence in answer.get("sentences", ()):
            self._journal.say(sentence)
        return answer

    async def _redis(self) -> None:
        socket = self._places.redis_socket
        if not await until(lambda: redis.answers(socket), seconds=REDIS_SECONDS):
            raise CannotStart(f"redis-server does not answer. The log is in {self._places.log}.")

    async def _web(self, token: str) -> Panel:
        address = programs.local_address(self._wanted.listen)
        panel = Panel(address, self._wanted.port, token)
        if not await asyncio.to_thread(wait_for, panel, seconds=WEB_SECONDS):
            raise CannotStart(f"The panel does not answer. The log is in {self._places.log}.")
        return panel

    async def _host(self, panel: Panel, name: str, begun: datetime) -> None:
        """Until all processes of the host were heard: then messages go both ways."""
        heard: dict[str, Any] = {}

        def is_heard() -> bool:
            if self.stop.is_set():
                return True
            try:
                rows = [row for row in panel.every("hosts/") if row["name"] == name]
            except (Refused, Unreachable):
                return False
            heard.update(rows[0] if rows else {})
            return all(_since(heard.get(entry), begun) for entry in _HEARD)

        if not await until(is_heard, seconds=HOST_SECONDS, pause=0.2):
            silent = [
                each.partition("_")[0] for each in _HEARD if not _since(heard.get(each), begun)
            ]
            raise CannotStart(
                f"The host's {' and '.join(silent)} did not report within {HOST_SECONDS:.0f} s. "
                f"The log is in {self._places.log}."
            )
        facts = heard.get("facts", {})
        if accelerator := facts.get("accelerator"):
            spoken = {"kvm": "KVM", "tcg": "software emulation (TCG)"}[accelerator]
            reason = facts.get("accelerator_reason") or "the host did not say why."
            self._journal.say(f"Guests run by {spoken}: {reason}")

    def _welcome(self, facts: dict[str, Any]) -> None:
        listen, port = self._wanted.listen, self._wanted.port
        shown = facts["address"] if listen == "0.0.0.0" else listen  # noqa: S104  compared with
        say = self._journal.say
        say("")
        say(f"The panel is at http://{f'[{shown}]' if ':' in shown else shown}:{port}/")
        if facts["password"]:
            say(f"Log in as {facts['operator']} with the password {facts['password']}")
            say(f"It is not shown again; {self._places.initial_password} keeps it until changed.")
        else:
            say(f"Log in as {facts['operator']}, as before.")
        if listen not in _LOOPBACK:
            say("Others can reach it, and nothing encrypts what they say: put TLS before it.")
        if facts["warning"]:
            say(facts["warning"])
        say("")

    async def _demo(self, panel: Panel) -> None:
        job = demo.Demo(panel, self._journal.say, Steps(), self.stop)
        try:
            await asyncio.to_thread(job.run)
        except demo.Failed as error:
            self._journal.say(str(error))
            self._journal.say(f"The log is in {self._places.log}.")
            return
        except demo.Stopped:
            return
        for hint in await asyncio.to_thread(demo.hints):
            self._journal.say("It answers on this machine, but others will not reach it.")
            self._journal.say(hint)


def _since(stamp: str | None, begun: datetime) -> bool:
    return stamp is not None and datetime.fromisoformat(stamp) >= begun


def run(wanted: Wanted) -> int:
    """`serve` with its log; returns the exit code."""
    journal = Journal(wanted.places.log)
    try:
        return asyncio.run(serve(wanted, journal))
    finally:
        journal.close()


def state_folder(text: str) -> Path:
    """A state folder as given on the command line."""
    return Path(text).absolute()
