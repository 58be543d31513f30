"""Starts processes, watches them, and ends them in order.

A process that ends by itself is started again, later each time. Every process gets SIGTERM from the
kernel when this one dies, whatever it dies of (setpriv(1), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from kvmweb.server.journal import Journal
from kvmweb.server.places import CHECKOUT
from kvmweb.server.remnants import Remnants

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A process that lived this long (in seconds) is restarted as if it had never failed.
SETTLED = 60.0
# What the names of the panel's settings begin with in the environment.
SETTINGS = "KVMWEB_"
_LONGEST_LINE = 256 * 1024

Started = tuple[asyncio.subprocess.Process, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process to keep running.

    Programs are ended in stages, the highest first, all of one stage at once. `patience` is how
    many seconds it may take to end after SIGTERM.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stage: int = 0
    patience: float = 6.0


class Supervisor:
    """The running processes. `pause` is how long to wait before the first restart, in seconds."""

    def __init__(self, journal: Journal, remnants: Remnants, *, pause: float = FIRST_PAUSE) -> None:
        self._journal = journal
        self._remnants = remnants
        self._pause = pause
        self._kept: dict[str, tuple[Program, asyncio.Task[None]]] = {}
        self._starting: dict[str, asyncio.Task[Started]] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}

    def pid(self, name: str) -> int | None:
        """The process id of a program that runs now."""
        process = self._running.get(name)
        return process.pid if process else None

    def start(self, program: Program) -> None:
        """Start `program` and keep it running until `stop`."""
        task = asyncio.create_task(self._keep(program), name=program.name)
        self._kept[program.name] = (program, task)

    async def stop(self) -> None:
        """End everything, stage by stage."""
        programs = [program for program, _task in self._kept.values()]
        ordered = sorted(programs, key=lambda program: -program.stage)
        for _stage, ending in groupby(ordered, key=lambda program: program.stage):
            await asyncio.gather(*(self._end(program) for program in ending))
        self._kept.clear()

    async def _keep(self, program: Program) -> None:
        pause = self._pause
        while True:
            begun = time.monotonic()
            code = await self._run(program)
            if time.monotonic() - begun > SETTLED:
                pause = self._pause
            self._journal.say(f"{program.name} {_ending(code)}; starting it again in {pause:g} s.")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run(self, program: Program) -> int:
        # A start that is cut short half-way never ends (seen with Python 3.11), so it is let be.
        self._starting[program.name] = asyncio.create_task(self._spawn(program))
        process, pipe = await asyncio.shield(self._starting[program.name])
        self._running[program.name] = process
        self._note()
        pump = asyncio.create_task(self._pump(program.name, pipe))
        try:
            code = await process.wait()
            self._running.pop(program.name, None)
            self._note()
            # A child of its own may hold the pipe open; what it wrote itself is read by then.
            await asyncio.wait({pump}, timeout=1)
        finally:
            pump.cancel()
        return code

    async def _spawn(self, program: Program) -> Started:
        """The process, and the reading end of a pipe of our own.

        asyncio's pipes would hold up `wait` for as long as any grandchild keeps them open.
        """
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM", "--", *program.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env={**_plain_environment(), **program.environment},
                start_new_session=True,
                cwd=CHECKOUT,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return process, reading

    async def _pump(self, name: str, pipe: int) -> None:
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader(limit=_LONGEST_LINE)
        protocol = asyncio.StreamReaderProtocol(lines)
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb"))
        try:
            await self._read(name, lines)
        finally:
            transport.close()

    async def _read(self, name: str, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await lines.readline()
            except ValueError:
                self._journal.line(name, "WARNING a line of more than 256 KiB was left out")
                continue
            if not line:
                return
            self._journal.line(name, line.decode(errors="replace"))

    async def _end(self, program: Program) -> None:
        _program, task = self._kept[program.name]
        task.cancel()
        if (starting := self._starting.get(program.name)) is not None:
            await _terminate((await starting)[0], program.patience)
        self._running.pop(program.name, None)
        await asyncio.gather(task, return_exceptions=True)

    def _note(self) -> None:
        self._remnants.note(process.pid for process in self._running.values())


def _plain_environment() -> dict[str, str]:
    """Ours without the panel's settings: a host's processes are to know none of its secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}


async def _terminate(process: asyncio.subprocess.Process, patience: float) -> None:
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
            return


def _ending(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


async def until(condition: Callable[[], bool], *, seconds: float, pause: float = 0.05) -> bool:
    """Whether `condition` came true within `seconds`; it is asked in a thread of its own."""
    limit = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > limit:
            return False
        await asyncio.sleep(pause)
    return True
