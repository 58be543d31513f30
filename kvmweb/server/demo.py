"""The main job, as any user's request: a network, a VM on it, a forward to its web page.

Asked of the running panel through REST, with nothing that a user's program could not do.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kvmweb.server.panel import Panel, Refused, Unreachable
from kvmweb.server.steps import Steps
from networks.host.survey import firewalls

NAME = "hello"
NETWORK = "demo"
PORT = 80
WANTED = {
    "name": NAME,
    "image": "hello",
    "memory_mib": 128,
    "network": {"name": NETWORK},
    "forwards": [{"protocol": "tcp", "target_port": PORT}],
}
UNFINISHED = {"queued", "running"}
BUSY = {"creating", "changing", "starting", "waiting"}
JOB_SECONDS = 600.0
ANSWER_SECONDS = 120.0
_POLL = 0.15
_REQUEST_SECONDS = 3


class Stopped(Exception):
    """The person in front wants it to end."""


class Failed(Exception):
    """The main job did not work; the text says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Demo:
    """`say` shows a sentence; `stop` ends everything soon after it is set."""

    panel: Panel
    say: Callable[[str], None]
    steps: Steps
    stop: threading.Event

    def run(self) -> str:
        """The URL that answers. Raises Failed or Stopped."""
        try:
            vm = self._wanted()
            endpoint = vm["public_endpoint"]
            if endpoint is None:
                raise Failed(f"VM {NAME} has no forward any more, so there is nothing to try.")
            self._fetch(vm["id"], endpoint)
        except Refused as error:
            raise Failed(f"The panel refused: {error}") from error
        except Unreachable as error:
            raise Failed(f"The panel stopped answering ({error}).") from error
        return f"http://{endpoint}/"

    def _wanted(self) -> Any:
        """The VM, made if it is not there, brought up if it is not running."""
        vm = self._existing()
        if vm is None:
            self.say(f"Making network {NETWORK}, VM {NAME} and a forward to its port {PORT}:")
            job, vm = self.panel.post("vms/", WANTED)
        elif vm["state"] in BUSY and vm["job"]:
            self.say(f"VM {NAME} is {vm['state']}; following that:")
            job = vm["job"]
        elif vm["state"] == "off":
            self.say(f"VM {NAME} is off; starting it:")
            job, vm = self.panel.post(f"vms/{vm['id']}/start/", {})
        elif vm["state"] in {"needs_attention", "crashed"}:
            self.say(f"VM {NAME} needs attention; asking its host to put it right:")
            job, vm = self.panel.post(f"vms/{vm['id']}/repair/", {})
        else:
            self.say(f"VM {NAME} is there already.")
            return vm
        self._follow(job)
        return self.panel.get(f"vms/{vm['id']}/")

    def _existing(self) -> Any:
        networks = {row["id"] for row in self.panel.every("networks/") if row["name"] == NETWORK}
        for vm in self.panel.every(f"vms/?search={NAME}"):
            beside = any(nic["network"] in networks for nic in vm["nics"])
            if vm["name"] == NAME and vm["state"] != "deleting" and beside:
                return vm
        return None

    def _follow(self, job: str) -> None:
        limit = time.monotonic() + JOB_SECONDS
        while True:
            shown = self.panel.get(f"jobs/{job}/")
            self.steps.show(shown["steps"])
            if shown["status"] not in UNFINISHED:
                break
            if time.monotonic() > limit:
                raise Failed(f"The job has not ended within {JOB_SECONDS:.0f} seconds.")
            self._pause(_POLL)
        if shown["status"] != "succeeded":
            reason = f"{shown['message']} {shown['remedy']}".strip()
            raise Failed(reason or f"The job ended as {shown['status']}.")

    def _fetch(self, vm: str, endpoint: str) -> None:
        """Ask for the page through the forward until it comes; show its first line."""
        begun = time.monotonic()
        address, _, port = endpoint.rpartition(":")
        last = ""
        started = False
        while time.monotonic() - begun < ANSWER_SECONDS:
            line, last = _first_line(address, int(port))
            if line:
                self.steps.done(f"http://{endpoint}/ answered: {line}", time.monotonic() - begun)
                return
            if not started and self.panel.get(f"vms/{vm}/")["state"] == "off":
                started = True
                self.say(f"VM {NAME} is off, perhaps since a reboot; starting it:")
                job, _vm = self.panel.post(f"vms/{vm}/start/", {})
                self._follow(job)
            self._pause(_POLL)
        raise Failed(_unanswered(endpoint, last))

    def _pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped


def _first_line(address: str, port: int) -> tuple[str, str]:
    """The page's first line; or, after an empty one, why it did not come."""
    connection = http.client.HTTPConnection(address, port, timeout=_REQUEST_SECONDS)
    try:
        connection.request("GET", "/")
        text = connection.getresponse().read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return "", str(error) or type(error).__name__
    finally:
        connection.close()
    first = next((line.strip() for line in text.splitlines() if line.strip()), "an empty page")
    # A guest is not trusted with the terminal.
    return "".join(letter for letter in first if letter.isprintable())[:200], ""


def _unanswered(endpoint: str, reason: str) -> str:
    lines = [
        f"http://{endpoint}/ did not answer within {ANSWER_SECONDS:.0f} seconds ({reason}).",
        *hints(),
    ]
    if len(lines) == 1:
        lines.append(
            "No other firewall stands in the way here. The job and the guest's serial log in the "
            "panel tell more."
        )
    return "\n".join(lines)


def hints() -> list[str]:
    """One sentence for each firewall of others that keeps the outside from the guests."""
    return [
        f"{obstacle.sentence} Let the guests' bridges through: {obstacle.does}"
        for obstacle in firewalls()
    ]
